"""The report as Rich renderables for a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rnp_cli.report.plain import plain
from rnp_cli.report.schema import Accuracy, Report

_MOST_ROWS = 40


def render(report: Report) -> RenderableType:
    """Verdict first, then accuracy, target, channels, and what was not checked."""
    return Group(
        _verdict(report),
        Padding(_facts(report), (0, 0, 1, 1)),
        Padding(_channels(report), (0, 0, 1, 1)),
        Padding(_not_checked(report), (0, 0, 0, 1)),
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
    model, fed = report.model, report.input
    samples = report.samples
    rows = [
        (
            "Model",
            f"{model.file} ({model.format}), {model.architecture}, "
            f"{model.parameters:,} parameters",
        ),
        (
            "Input",
            f"{fed.channels}x{fed.size[0]}x{fed.size[1]}, {fed.convention}, "
            f"ends in {fed.output}",
        ),
        (
            "Clean samples",
            f"{samples.count} of {samples.num_classes} classes; "
            f"{samples.holdout} held out",
        ),
        ("Accuracy before", _interval(report.accuracy_before)),
        ("Accuracy after", _interval(report.accuracy_after)),
        (
            "on the holdout",
            f"{report.holdout_before.value:.1%} before, "
            f"{report.holdout_after.value:.1%} after",
        ),
        ("Suspected target", _target(report)),
    ]
    if report.threshold is not None:
        rows.append(("Threshold", f"masks up to {report.threshold:.3f}"))
    rows += [("Finding", finding) for finding in model.findings]
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(plain(value)))
    return table


def _interval(accuracy: Accuracy) -> str:
    return (
        f"{accuracy.value:.1%} ({accuracy.low:.1%} to {accuracy.high:.1%}, 95 % "
        f"interval, {accuracy.samples} images)"
    )


def _target(report: Report) -> str:
    target, names = report.target, report.samples.class_names
    name = names[target.target] if 0 <= target.target < len(names) else ""
    known = f" ({name})" if name and name != str(target.target) else ""
    return (
        f"class {target.target}{known}: the unlearned model calls "
        f"{target.share:.0%} of the clean images so"
    )


def _channels(report: Report) -> Group:
    rows = report.pruned or report.next_in_rank
    table = Table(
        title="Pruned channels"
        if report.pruned
        else "Most suspicious channels (none pruned)",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
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


def _not_checked(report: Report) -> Group:
    notes = (Text(f"- {plain(note)}", style="dim") for note in report.not_checked)
    return Group(Text("Not checked", style="bold"), *notes)
