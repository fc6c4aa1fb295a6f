"""Which network a state_dict belongs to: one file per family, and a table of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnp_cli.architectures.architecture import Architecture
    from rnp_cli.architectures.identify_weights import identify, identify_all
    from rnp_cli.architectures.load_weights import load
    from rnp_cli.architectures.recognize_shapes import recognize
    from rnp_cli.architectures.shapes import Shapes
    from rnp_cli.architectures.table import FAMILIES, known_names

__all__ = [
    "FAMILIES",
    "Architecture",
    "Shapes",
    "identify",
    "identify_all",
    "known_names",
    "load",
    "recognize",
]

_HOME = {
    "FAMILIES": "rnp_cli.architectures.table",
    "Architecture": "rnp_cli.architectures.architecture",
    "Shapes": "rnp_cli.architectures.shapes",
    "identify": "rnp_cli.architectures.identify_weights",
    "identify_all": "rnp_cli.architectures.identify_weights",
    "known_names": "rnp_cli.architectures.table",
    "load": "rnp_cli.architectures.load_weights",
    "recognize": "rnp_cli.architectures.recognize_shapes",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use: shapes are recognized without torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
