"""The report as Rich renderables for a terminal."""

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
from rnp_cli.report.plain import plain
from rnp_cli.report.schema import Report

_MOST_ROWS = 40


def render(report: Report) -> RenderableType:
    """Verdict first, then accuracy, target, channels, and what was not checked."""
    return Group(
        _verdict(report),
        Padding(_facts(report), (0, 0, 1, 1)),
        Padding(_channels(report), (0, 0, 1, 1)),
        Padding(not_checked(report.not_checked), (0, 0, 0, 1)),
    )


def _verdict(report: Report) -> Panel:
    count = len(report.pruned)
    if report.outcome == "pruned":
        text = (
            f"{count} of {report.model.channels} channels pruned; "
            f"clean accuracy {_change(report)}"
        )
        return Panel(
            Text(text), title="Pruned", title_align="left", border_style="green"
        )
    tried = any(point.pruned for point in report.path)
    text = (
        "Pruning even the most suspicious channels costs more than the "
        f"{100 * report.max_accuracy_drop:g} points of clean accuracy allowed."
        if tried
        else "No mask fell far enough in recovery to make its channel suspicious."
    )
    text += (
        " No model was written. Give more clean samples, allow a larger "
        "--max-accuracy-drop, or reject the model."
    )
    return Panel(
        Text(text), title="No safe threshold", title_align="left", border_style="red"
    )


def _change(report: Report) -> str:
    before, after = report.accuracy_before.value, report.accuracy_after.value
    return f"{before:.1%} before, {after:.1%} after"


def _facts(report: Report) -> Table:
    rows = [
        *model_facts(report.model, report.input, report.samples),
        ("Accuracy before", interval(report.accuracy_before)),
        ("Accuracy after", interval(report.accuracy_after)),
        (
            "on the holdout",
            f"{report.holdout_before.value:.1%} before, "
            f"{report.holdout_after.value:.1%} after",
        ),
        ("Suspected target", _target(report)),
    ]
    if report.threshold is not None:
        rows.append(("Threshold", f"masks up to {report.threshold:.3f}"))
    rows += [("Finding", finding) for finding in report.model.findings]
    return facts_table(rows)


def _target(report: Report) -> str:
    named = class_name(report.target.target, report.samples)
    return (
        f"{named}: the unlearned model calls {report.target.share:.0%} of the clean "
        "images so"
    )


def _channels(report: Report) -> Group:
    rows = report.pruned or report.next_in_rank
    table = list_table(
        "Pruned channels" if report.pruned else "Most suspicious channels (none pruned)"
    )
    table.add_column("Rank", justify="right")
    table.add_column("Layer", overflow="fold")
    table.add_column("Channel", justify="right")
    table.add_column("Mask", justify="right")
    table.add_column("Score", justify="right")
    for row in rows[:_MOST_ROWS]:
        table.add_row(
            str(row.rank),
            Text(plain(row.layer)),
            str(row.channel),
            f"{row.mask:.3f}",
            f"{row.score:.2f}",
        )
    hidden = len(rows) - _MOST_ROWS
    more = f" {hidden} more are in the report's JSON." if hidden > 0 else ""
    note = (
        "Mask: what recovery left of the channel (0 to 1). Score: how far its weights "
        f"moved while unlearning (1 is its layer's mean).{more}"
    )
    return Group(table, Text(note, style="dim"))
