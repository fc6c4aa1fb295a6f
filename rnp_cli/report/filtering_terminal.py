"""A filtering as Rich renderables for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rnp_cli.report.facts import (
    class_name,
    facts_table,
    interval,
    list_table,
    model_facts,
    not_checked,
)
from rnp_cli.report.filtering import Filtering
from rnp_cli.report.plain import plain

_MOST_ROWS = 10


def render_filtering(filtering: Filtering) -> RenderableType:
    """Show what is suspect, the facts, the files, and what was not checked."""
    parts: list[RenderableType] = [
        _headline(filtering),
        Padding(_facts(filtering), (0, 0, 1, 1)),
    ]
    if filtering.most_suspect:
        parts.append(Padding(_suspects(filtering), (0, 0, 1, 1)))
    if filtering.unreadable:
        parts.append(Padding(_unreadable(filtering), (0, 0, 1, 1)))
    parts.append(Padding(not_checked(filtering.not_checked), (0, 0, 0, 1)))
    return Group(*parts)


def _headline(filtering: Filtering) -> Panel:
    counts, rate = filtering.counts, filtering.rate
    text = (
        f"{counts.suspect:,} of {counts.scored:,} images are suspect, at a "
        f"false-positive rate of {rate.used:.2%}: if all of them were clean, about "
        f"{rate.used * counts.scored:,.0f} would be."
    )
    if counts.unreadable:
        text += f" Files that could not be read: {counts.unreadable:,}."
    style = "yellow" if counts.suspect or counts.unreadable else "green"
    return Panel(Text(text), title="Suspects", title_align="left", border_style=style)


def _facts(filtering: Filtering) -> Table:
    rows = model_facts(filtering.model, filtering.input, filtering.samples)
    if filtering.unlearn is not None and filtering.unlearn.epochs:
        ended = filtering.unlearn.epochs[-1].clean_accuracy
        asked = f"{filtering.stops} models on the way were asked"
        rows.append(("Unlearning", f"to a clean accuracy of {ended:.1%}; {asked}"))
    if filtering.sanitized is not None:
        rows.append(("Held against", filtering.sanitized.file))
        rows.append(("its accuracy", interval(filtering.sanitized.accuracy)))
    by_class = [
        f"{class_name(number, filtering.samples)}: {count:,}"
        for number, count in _most(filtering.counts.suspect_by_class)
    ]
    if by_class:
        rows.append(("Predicted", "suspects by class: " + ", ".join(by_class)))
    if filtering.quarantine is not None and filtering.counts.suspect:
        done = "moved" if filtering.moved else "copied"
        rows.append(("Quarantine", f"suspects {done} to {filtering.quarantine}"))
    if filtering.output is not None:
        rows.append(("Every file", filtering.output))
    rows += [("Finding", finding) for finding in filtering.model.findings]
    return facts_table(rows)


def _most(counts: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return up to five classes and their counts, the highest count first."""
    ranked = sorted(enumerate(counts), key=lambda pair: -pair[1])
    return [(number, count) for number, count in ranked[:5] if count]


def _suspects(filtering: Filtering) -> Group:
    table = list_table("Most suspect")
    table.add_column("File", overflow="fold")
    table.add_column("Predicted", overflow="fold")
    table.add_column("Score", justify="right")
    table.add_column("p", justify="right")
    for row in filtering.most_suspect[:_MOST_ROWS]:
        named = class_name(row.predicted or 0, filtering.samples)
        table.add_row(
            Text(plain(row.file)), Text(named), f"{row.score:.2f}", f"{row.p_value:.2g}"
        )
    hidden = filtering.counts.suspect - _MOST_ROWS
    more = f" {hidden:,} more suspects are in the output." if hidden > 0 else ""
    if hidden > 0 and filtering.output is None:
        more = f" {hidden:,} more suspects: --output FILE.csv lists every file."
    told = "a model on the way down keeps to the prediction"
    if filtering.sanitized is not None:
        told = "the sanitized model gives up the prediction"
    note = (
        f"Score: how far {told}, beyond what is usual for clean images of that class, "
        "in standard deviations. p: the share of held-out clean images with so high a "
        f"score.{more}"
    )
    return Group(table, Text(note, style="dim"))


def _unreadable(filtering: Filtering) -> Group:
    shown = filtering.unreadable[:_MOST_ROWS]
    lines = [Text(plain(f"- {row.file} {row.error}")) for row in shown]
    hidden = filtering.counts.unreadable - len(shown)
    if hidden > 0:
        lines.append(Text(f"- and {hidden:,} more", style="dim"))
    return Group(Text("Could not be read", style="bold"), *lines)
