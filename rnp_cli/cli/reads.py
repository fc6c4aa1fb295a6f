"""Which knobs a run reads: a settings file has those of all commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TRIGGERS = frozenset({"holdout_share", "most_classes", "inversion"})
_LOOKING = _TRIGGERS | {"unlearn", "unlearnings", "most_paired", "margin", "verdict"}
_SIZES = frozenset({"verdict.usual_spread", "verdict.usual_classes"})
_BUDGET = {"max_accuracy_drop", "largest_mask", "patience"}  # success_left not
_PRUNING = _LOOKING | {"recover", *(f"threshold.{knob}" for knob in _BUDGET)}
_CLOSING = _PRUNING | {"closing"}
_METHODS: Mapping[str, frozenset[str]] = {
    "rnp": _PRUNING,
    "rnp+repair": _CLOSING | {"repair", "threshold"},
    "anp": _CLOSING | {"adversarial", "repair.max_accuracy_drop"},
    "nad": _CLOSING | {"distill", "repair.max_accuracy_drop"},
}


def is_read(knob: str, command: str, params: Mapping[str, Any]) -> bool:
    """Say whether a command reads a knob, ``table.name`` or ``name``, in some run.

    params: the command's own, by name: its method decides, for one.
    """
    tables = _read_by(command, params)
    return knob in tables or knob.partition(".")[0] in tables


def _read_by(command: str, params: Mapping[str, Any]) -> frozenset[str]:
    """Return tables that are read, and knobs of tables that are read in part."""
    match command:
        case "detect":
            return _LOOKING
        case "trigger" if params["on"] == "unlearned":
            return _TRIGGERS | _SIZES | {"unlearn"}
        case "trigger":
            return _TRIGGERS | _SIZES
        case "filter" if params["sanitized"] is None:
            return frozenset({"holdout_share", "unlearn"})
        case "filter":
            return frozenset({"holdout_share"})
        case _:
            return _METHODS[params["method"]]
