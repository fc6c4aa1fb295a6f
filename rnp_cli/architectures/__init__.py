"""Which network a state_dict belongs to: one file per family, and a table of them."""

from rnp_cli.architectures.architecture import Architecture
from rnp_cli.architectures.identify import identify, identify_all
from rnp_cli.architectures.load import load
from rnp_cli.architectures.table import FAMILIES, known_names

__all__ = [
    "FAMILIES",
    "Architecture",
    "identify",
    "identify_all",
    "known_names",
    "load",
]
