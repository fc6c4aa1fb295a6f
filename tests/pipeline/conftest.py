"""Requests that end fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rnp_cli.defense.recover import RecoverConfig
from rnp_cli.defense.rnp import DefenseConfig
from rnp_cli.evidence.config import EvidenceConfig
from rnp_cli.evidence.inversion import InversionConfig
from rnp_cli.pipeline import SanitizeRequest

# Masks that cannot move stay at one, and no channel is suspicious enough to be cut.
STUCK = DefenseConfig(recover=RecoverConfig(learning_rate=1e-9, epochs=1))

HASTY = EvidenceConfig(inversion=InversionConfig(steps=2))


@pytest.fixture
def stuck(digits: Any) -> dict[str, Any]:
    """What a request needs to end with no safe threshold, in about a second."""
    return {
        "model": digits.model,
        "clean_dir": digits.clean,
        "device": "cpu",
        "max_samples": 100,
        "defense": STUCK,
        "evidence": HASTY,
        "method": "rnp",
        "when": "always",
    }


@pytest.fixture
def stuck_request(stuck: dict[str, Any], tmp_path: Path) -> SanitizeRequest:
    return SanitizeRequest(outputs=(tmp_path / "model.sanitized.safetensors",), **stuck)
