"""The families of triggers in words; each measures sizes in its own way."""

from __future__ import annotations

from rnp_cli.report.detection import Family

HEADS: dict[Family, str] = {
    "overlay": "Overlay, pixels",
    "addition": "Added, %",
    "warp": "Warp, pixels",
}

NOTES: dict[Family, str] = {
    "overlay": "Overlay: the sum of its mask, in pixels.",
    "addition": "Added: the root mean square change, in % of a pixel's range.",
    "warp": "Warp: how far pixels move, root mean square.",
}


def size(family: Family, norm: float) -> str:
    """Write a size, without its unit."""
    if family == "addition":
        return f"{100 * norm:.1f}"
    return f"{norm:.1f}" if family == "overlay" else f"{norm:.2f}"


def phrase(family: Family, norm: float) -> str:
    """Write what a trigger of that size does to an image."""
    written = size(family, norm)
    if family == "overlay":
        return f"a pattern over {written} pixels"
    if family == "addition":
        return f"a change of {written}% of a pixel's range added to the whole image"
    return f"a warp by {written} pixels"


def wave(down: int, across: int, norm: float) -> str:
    """Write what a wave of so many cycles and that size, which was tried, does."""
    side = "right" if across >= 0 else "left"
    return (
        f"tried: a gray wave of {size('addition', norm)}% of a pixel's range (cycles: "
        f"{down} down, {abs(across)} to the {side}), added to the whole image"
    )
