"""Pictures of results; the only file that needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.path import PruningPath
from harness.result import Result, Shares

CA, ASR, FAINT = "#2166ac", "#b2182b", "#bbbbbb"
COLUMNS = 4


def draw_outcomes(results: Sequence[Result], file: Path) -> None:
    """One panel per method, one line per attack: from before (ring) to after (dot)."""
    methods = list(dict.fromkeys(r.method for r in results))
    groups = list(dict.fromkeys(r.attack or "clean models" for r in results))
    height = 1.0 + 0.42 * len(groups)
    figure, panels = _panels(len(methods), height=height)
    for panel, method in zip(panels, methods, strict=True):
        for row, group in enumerate(groups):
            chosen = [
                r
                for r in results
                if r.method == method and (r.attack or "clean models") == group
            ]
            _line(panel, row - 0.13, chosen, "clean_accuracy", CA)
            _line(panel, row + 0.13, chosen, "attack_success_rate", ASR)
        panel.set_title(method, loc="left", fontsize=10, fontweight="bold")
        panel.set_yticks(range(len(groups)), groups)
        panel.set_ylim(len(groups) - 0.5, -0.5)
        panel.set_xlim(-0.04, 1.04)
        panel.grid(axis="x", color="#eeeeee")
        if not _is_first(panel):
            panel.tick_params(labelleft=False)
    _legend(figure, "before: ring, after: dot; mean over models and seeds")
    _save(figure, file)


def draw_paths(paths: Sequence[PruningPath], file: Path) -> None:
    """One panel per model: CA and ASR with more and more channels pruned."""
    figure, panels = _panels(len(paths), height=2.3)
    for panel, path in zip(panels, paths, strict=True):
        counts = [point.pruned for point in path.points]
        ca = [point.shares.clean_accuracy for point in path.points]
        asr = [point.shares.attack_success_rate or 0 for point in path.points]
        panel.plot(counts, ca, color=CA, marker=".", markersize=4)
        panel.plot(counts, asr, color=ASR, marker=".", markersize=4)
        panel.axvline(path.chosen, color="black", linestyle=":", linewidth=1)
        title = f"{path.subject}\nstopped at {path.chosen}"
        if not path.chosen:
            title = f"{path.subject}\nnothing pruned"
        panel.set_title(title, loc="left", fontsize=9)
        panel.set_ylim(-0.04, 1.04)
        panel.grid(color="#eeeeee")
        if not _is_first(panel):
            panel.tick_params(labelleft=False)
    _legend(figure, "against channels pruned, in the tool's order; dotted: its choice")
    _save(figure, file)


def _panels(count: int, *, height: float) -> tuple[Figure, list[Axes]]:
    columns = min(count, COLUMNS)
    rows = -(-count // columns)
    size = (max(7.5, 2.8 * columns + 1.2), height * rows + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    panels = list(grid.flat)
    for empty in panels[count:]:
        empty.set_visible(False)
    return figure, panels[:count]


def _line(
    panel: Axes, height: float, results: Sequence[Result], name: str, color: str
) -> None:
    before = _average([r.before for r in results], name)
    after = _average([r.after for r in results], name)
    if before is None or after is None:
        return
    panel.plot([before, after], [height, height], color=color, linewidth=1.5, alpha=0.5)
    panel.plot(before, height, "o", markersize=5, color=color, markerfacecolor="white")
    panel.plot(after, height, "o", markersize=5, color=color)


def _average(shares: Sequence[Shares | None], name: str) -> float | None:
    values = [getattr(s, name) for s in shares if s is not None]
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _is_first(panel: Axes) -> bool:
    place = panel.get_subplotspec()
    return place is not None and place.is_first_col()


def _legend(figure: Figure, words: str) -> None:
    text = "clean accuracy (CA, blue) and attack success rate (ASR, red)"
    figure.suptitle(f"{text}\n{words}", fontsize=9, x=0.01, ha="left")


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(file, dpi=110)
