"""The tool with one of its ideas left out, or back at what the paper does.

Each is a name, and what it changes of the configuration, as ``--config`` would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Change = Mapping[str, Any]

ABLATIONS: Mapping[str, Change] = {
    "several-unlearnings": {"unlearnings": 1},
    "maximum-margins": {"margin": {"starts": 0}},
    "pairs-of-classes": {"most_paired": 0},
    "slow-walk": {"unlearn": {"longest_early_drop": 0.5}},
    "distillation": {"repair": {"distillation": 0.0}},
    "varied-stamps": {"repair": {"varied": 0.0}},
    "shifted-stamps": {"repair": {"shifted": 0.0}},
    "newest-triggers-first": {"repair": {"newest": 1.0}},
    "second-attempts": {"closing": {"attempts": 1}},
    "searches-near-patches": {"closing": {"nearby": 0, "last_nearby": 0}},
    "squares": {"closing": {"squares": 0}},
    "waves": {"closing": {"waves": 0}},
    "bounded-steps": {"repair": {"largest_step": 1e9}},
    "free-attempts": {"inversion": {"free_attempts": 1}},
    "long-rounds": {"repair": {"epochs": 5}},
    "beyond-the-usual": {"closing": {"harder": 1.0}},
    "long-inversion": {"inversion": {"steps": 50}},
}
