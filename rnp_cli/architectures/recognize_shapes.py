"""From names and shapes alone to the network: nobody names it, and nothing is built."""

from __future__ import annotations

from rnp_cli.architectures.architecture import Architecture
from rnp_cli.architectures.match import match_names, match_order
from rnp_cli.architectures.refusal import ambiguous, unrecognized
from rnp_cli.architectures.shapes import Shapes
from rnp_cli.architectures.table import FAMILIES


def recognize(shapes: Shapes) -> tuple[Architecture, ...]:
    """Return every architecture that fits, the usual one first; see identify_all.

    Needs no torch. Raises InputRefused, with what is near, where nothing fits.
    """
    by_names = match_names(shapes, FAMILIES)
    if by_names:
        return tuple(architecture for _, architecture in by_names)
    by_order = match_order(shapes, FAMILIES)
    if len(by_order) > 1:
        raise ambiguous(by_order)
    if not by_order:
        raise unrecognized(shapes, FAMILIES)
    return tuple(by_order)
