"""No attack: a clean twin, which every backdoored model is held against."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.attack import Attack


@dataclass(kw_only=True)
class Clean(Attack):
    """Ordinary training."""
