"""The families of triggers that are searched for, one file each."""

from __future__ import annotations

from typing import Literal

from rnp_cli.evidence.triggers.addition import Additions
from rnp_cli.evidence.triggers.base import Candidates, Change
from rnp_cli.evidence.triggers.overlay import Overlays
from rnp_cli.evidence.triggers.warp import Warps

Family = Literal["overlay", "addition", "warp"]
FAMILIES: dict[Family, type[Candidates]] = {
    "overlay": Overlays,
    "addition": Additions,
    "warp": Warps,
}

__all__ = ["FAMILIES", "Candidates", "Change", "Family"]
