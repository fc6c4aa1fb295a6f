"""The picture of how cost grows; needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from speeding.growth import Growth, exponent

TOOL, FLOOR, LINEAR = "#2166ac", "#666666", "#bbbbbb"


def draw_growths(growths: Sequence[Growth], file: Path) -> None:
    """Draw one panel for each: seconds of the tool and of its floor, both axes log."""
    figure = Figure(figsize=(3.6 * len(growths), 3.6), layout="constrained")
    panels = figure.subplots(1, len(growths), sharey=True, squeeze=False)[0]
    for panel, growth in zip(panels, growths, strict=True):
        amounts, seconds = growth.amounts, growth.seconds
        linear = [seconds[0] * amount / amounts[0] for amount in amounts]
        panel.loglog(amounts, linear, ":", color=LINEAR, label="linear")
        panel.loglog(amounts, growth.floors, ".--", color=FLOOR, label="floor")
        panel.loglog(amounts, seconds, "o-", color=TOOL, label="rnp sanitize")
        slope = exponent(amounts, seconds)
        title = f"{growth.of}: exponent {slope:.2f}"
        panel.set_title(title, loc="left", fontsize=10)
        panel.set_xlabel(growth.of)
        short = EngFormatter(sep="")
        panel.set_xticks(amounts, [short(float(f"{n:.2g}")) for n in amounts])
        panel.minorticks_off()
        panel.yaxis.set_major_formatter(short)
        panel.grid(color="#eeeeee")
    panels[0].set_ylabel("seconds")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(file, dpi=110)
