"""The report as Rich renderables for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from rnp_cli.report import tried, words
from rnp_cli.report.facts import facts_table, list_table, not_checked
from rnp_cli.report.plain import plain
from rnp_cli.report.sanitization import PruningInfo, Report

_MOST_ROWS = 40
_FEW_ROWS = 5  # where none was pruned
_STYLES: dict[words.Tone, str] = {"good": "green", "doubtful": "yellow", "bad": "red"}


def render(report: Report) -> RenderableType:
    """Outcome first, then the facts, triggers, channels, and what was not checked."""
    parts: list[RenderableType] = [facts_table(words.facts(report))]
    if report.tried:
        parts.append(_tried(report))
    if report.pruning is not None:
        parts.append(_channels(report, report.pruning))
    return Group(
        _outcome(report),
        *(Padding(part, (0, 0, 1, 1)) for part in parts),
        Padding(not_checked(report.not_checked), (0, 0, 0, 1)),
    )


def _outcome(report: Report) -> Panel:
    return Panel(
        Text(plain(words.said(report))),
        title=words.title(report),
        title_align="left",
        border_style=_STYLES[words.tone(report)],
    )


def _tried(report: Report) -> Group:
    table = list_table("Recovered triggers of the suspected class (estimates)")
    table.add_column("Trigger", overflow="fold")
    table.add_column("Turns before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("Smallest after", overflow="fold")
    for trigger in report.tried:
        table.add_row(*tried.row(trigger))
    return Group(table, Text(tried.NOTE, style="dim"))


def _channels(report: Report, pruning: PruningInfo) -> Group:
    rows = pruning.pruned or pruning.next_in_rank
    table = list_table(
        "Pruned channels"
        if report.pruned
        else "Channels pruned in the teacher"
        if pruning.pruned
        else "Most suspicious channels (none pruned)"
    )
    table.add_column("Rank", justify="right")
    table.add_column("Layer", overflow="fold")
    table.add_column("Channel", justify="right")
    table.add_column("Mask", justify="right")
    table.add_column("Score", justify="right")
    shown = _MOST_ROWS if pruning.pruned else _FEW_ROWS
    for row in rows[:shown]:
        table.add_row(
            str(row.rank),
            Text(plain(row.layer)),
            str(row.channel),
            f"{row.mask:.3f}",
            f"{row.score:.2f}",
        )
    hidden = len(rows) - shown
    more = f" {hidden} more are in the report's JSON." if hidden > 0 else ""
    return Group(table, Text(words.CHANNELS_NOTE + more, style="dim"))
