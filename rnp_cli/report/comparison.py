"""Two runs side by side, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rnp_cli.report import words
from rnp_cli.report.facts import Fact, list_table
from rnp_cli.report.plain import plain
from rnp_cli.report.sanitization import Report

_MOST_CHANNELS = 20


def render_comparison(first: Report, second: Report) -> RenderableType:
    """Put what both reports say beside each other; what differs is in bold."""
    table = list_table("Two runs")
    for head in ("", "First", "Second"):
        table.add_column(head, overflow="fold")
    for name, one, other in _rows(first, second):
        style = "" if one == other else "bold"
        table.add_row(name, Text(plain(one), style), Text(plain(other), style))
    return Group(table, Padding(_channels(first, second), (0, 0, 1, 1)))


def _rows(first: Report, second: Report) -> Iterator[tuple[str, str, str]]:
    ours, theirs = dict(_facts(first)), dict(_facts(second))
    for name in dict.fromkeys([*ours, *theirs]):
        yield name, ours.get(name, "–"), theirs.get(name, "–")


def _facts(report: Report) -> Iterator[Fact]:
    yield "Outcome", words.title(report)
    yield from words.facts(report)
    if report.success is not None:
        before, after = report.success
        yield "Estimated success", f"{before:.0%} before, {after:.0%} after"
    yield "Channels pruned", f"{len(report.pruned)} of {report.model.channels}"
    yield "Rounds of repair", str(report.rounds)
    yield "Model's SHA-256", report.model.sha256
    yield "Seed, device", f"{report.seed}, {report.device}"
    yield "rnp, torch", f"{report.tool_version}, {report.torch_version}"


def _channels(first: Report, second: Report) -> Table:
    ours, theirs = (
        {(c.layer, c.channel) for c in report.pruned} for report in (first, second)
    )
    table = Table.grid(padding=(0, 2))
    for name, channels in (
        ("Pruned in both", ours & theirs),
        ("in the first only", ours - theirs),
        ("in the second only", theirs - ours),
    ):
        table.add_row(Text(name, style="bold"), Text(plain(_listed(channels))))
    return table


def _listed(channels: Iterable[tuple[str, int]]) -> str:
    named = [f"{layer} {channel}" for layer, channel in sorted(channels)]
    shown = ", ".join(named[:_MOST_CHANNELS]) or "none"
    hidden = len(named) - _MOST_CHANNELS
    return shown + (f" and {hidden} more" if hidden > 0 else "")
