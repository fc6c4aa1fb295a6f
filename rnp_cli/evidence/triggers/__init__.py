"""The families of triggers that are searched for, one file each."""

from __future__ import annotations

from rnp_cli.evidence.triggers.addition import Additions
from rnp_cli.evidence.triggers.base import Candidates, Change, Family
from rnp_cli.evidence.triggers.overlay import Overlays
from rnp_cli.evidence.triggers.warp import Warps

FAMILIES: dict[Family, type[Candidates]] = {
    "overlay": Overlays,
    "addition": Additions,
    "warp": Warps,
}

__all__ = ["FAMILIES", "Candidates", "Change", "Family"]
