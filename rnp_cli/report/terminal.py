"""The report as Rich renderables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rnp_cli.report import families
from rnp_cli.report.detection import VerdictInfo
from rnp_cli.report.facts import (
    Fact,
    class_name,
    facts_table,
    interval,
    list_table,
    model_facts,
    not_checked,
)
from rnp_cli.report.plain import plain
from rnp_cli.report.sanitization import Outcome, PruningInfo, Report

_MOST_ROWS = 40
_FEW_ROWS = 5  # where none was pruned
_TITLES: dict[Outcome, str] = {
    "unchanged": "No evidence of a backdoor: nothing was changed",
    "pruned": "Pruned",
    "repaired": "Repaired",
    "not-safe": "Could not be made safe",
    "no-safe-threshold": "No safe threshold",
}
_STYLES: dict[Outcome, str] = {
    "unchanged": "green",
    "pruned": "green",
    "repaired": "green",
    "not-safe": "red",
    "no-safe-threshold": "red",
}
_REJECT = (
    "No model was written. Give more clean samples, another --seed, or reject the "
    "model."
)


def render(report: Report) -> RenderableType:
    """Outcome first, then the facts, triggers, channels, and what was not checked."""
    parts: list[RenderableType] = [_facts(report)]
    if report.tried:
        parts.append(_tried(report))
    if report.pruning is not None:
        parts.append(_channels(report.pruning))
    return Group(
        _outcome(report),
        *(Padding(part, (0, 0, 1, 1)) for part in parts),
        Padding(not_checked(report.not_checked), (0, 0, 0, 1)),
    )


def _outcome(report: Report) -> Panel:
    after = report.verdict_after
    is_doubtful = (
        report.output is not None and after is not None and after.level != "none"
    )
    return Panel(
        Text(plain(_said(report))),
        title=_TITLES[report.outcome],
        title_align="left",
        border_style="yellow" if is_doubtful else _STYLES[report.outcome],
    )


def _said(report: Report) -> str:
    match report.outcome:
        case "unchanged":
            heard = "Neither triggers nor unlearning tell"
            if report.label is None:
                heard = "Triggers do not tell"
            return (
                f"{heard} a class from the others (p = {report.verdict.p_value:.2g}). "
                "The model is written as it came."
            )
        case "pruned":
            return f"{_pruned(report)}; clean accuracy {_change(report)}"
        case "repaired":
            done = f"{_rounds(report)} of repair"
            if report.pruned:
                done = f"{_pruned(report)}, then {done}"
            return f"{done}; clean accuracy {_change(report)}. {_left(report)}"
        case "not-safe":
            return f"{_left(report)} {_REJECT}"
        case "no-safe-threshold":
            return f"{_why_none(report)} {_REJECT}"


def _pruned(report: Report) -> str:
    return f"{len(report.pruned)} of {report.model.channels} channels pruned"


def _rounds(report: Report) -> str:
    count = 0 if report.repair is None else len(report.repair.rounds)
    return f"{count} round{'s' if count != 1 else ''}"


def _left(report: Report) -> str:
    """Say what of the evidence is left."""
    after = report.verdict_after
    said = []
    if "triggers" in report.left:
        said.append(
            "Triggers still reach the suspected class more easily than the others, "
            f"after {_rounds(report)} of repair."
        )
    if "success" in report.left:
        most = max((trigger.success_after for trigger in report.tried), default=1.0)
        said.append(f"A trigger recovered first still turns {most:.0%} of the images.")
    if "accuracy" in report.left:
        said.append(f"The repair cost too much: clean accuracy {_change(report)}.")
    if "unheard" in report.left:
        said.append(
            "Unlearning had shown the backdoor, and says nothing of the model now: "
            f"{report.unlearn_failure_after or 'its way down leapt'}."
        )
    if report.left == ("asleep",):
        said.append(
            "No trigger reaches the suspected class more easily than the others any "
            "more, but unlearning still wakes it: sanitize again after fine-tuning."
        )
    elif after is not None and (after.level != "none" or not said):
        said.append(f"Looked at again, it shows {_evidence(after, report)}.")
    return " ".join(said)


def _why_none(report: Report) -> str:
    path = () if report.pruning is None else report.pruning.path
    if any(point.pruned for point in path):
        return (
            "Pruning even the most suspicious channels costs more than the "
            f"{100 * report.max_accuracy_drop:g} points of clean accuracy allowed."
        )
    return "No mask fell far enough in recovery to make its channel suspicious."


def _change(report: Report) -> str:
    before, after = report.accuracy_before.value, report.accuracy_after.value
    return f"{before:.1%} before, {after:.1%} after"


def _facts(report: Report) -> Table:
    rows = [
        *model_facts(report.model, report.input, report.samples),
        ("Verdict before", _evidence(report.verdict, report)),
    ]
    if report.verdict_after is not None:
        rows.append(("Verdict after", _evidence(report.verdict_after, report)))
    rows.append(("Accuracy before", interval(report.accuracy_before)))
    if report.outcome != "unchanged":
        rows.append(("Accuracy after", interval(report.accuracy_after)))
        rows.append(
            (
                "on the holdout",
                f"{report.holdout_before.value:.1%} before, "
                f"{report.holdout_after.value:.1%} after",
            )
        )
    rows += _unlearned(report)
    rows += [("Finding", finding) for finding in report.model.findings]
    return facts_table(rows)


def _evidence(verdict: VerdictInfo, report: Report) -> str:
    if verdict.level == "none":
        return f"no evidence of a backdoor (p = {verdict.p_value:.2g})"
    goal = "to all classes"
    if verdict.target is not None:
        goal = f"to {class_name(verdict.target, report.samples)}"
    return f"{verdict.level} evidence of a backdoor {goal} (p = {verdict.p_value:.2g})"


def _unlearned(report: Report) -> Iterator[Fact]:
    if report.unlearn_failure is not None:
        yield "Unlearning", report.unlearn_failure
    if report.label is not None:
        named = class_name(report.label.target, report.samples)
        yield (
            "Unlearning",
            f"{report.label.share:.0%} of its first new mistakes go to {named}",
        )
    if report.pruning is not None:
        target = report.pruning.target
        named = class_name(target.target, report.samples)
        yield (
            "Unlearned",
            f"the model calls {target.share:.0%} of the clean images {named}",
        )
        if report.pruning.threshold is not None:
            yield "Threshold", f"masks up to {report.pruning.threshold:.3f}"


def _tried(report: Report) -> Group:
    table = list_table("Recovered triggers of the suspected class (estimates)")
    table.add_column("Trigger", overflow="fold")
    table.add_column("Turns before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("Smallest after", overflow="fold")
    for trigger in report.tried:
        left = "none found"
        if trigger.size_after is not None:
            left = families.phrase(trigger.family, trigger.size_after)
        table.add_row(
            families.phrase(trigger.family, trigger.size),
            f"{trigger.success_before:.0%}",
            f"{trigger.success_after:.0%}",
            left,
        )
    note = (
        "Turns: the share of held-out clean images that the trigger turns, the "
        "estimated attack success rate. Smallest after: what is needed now."
    )
    return Group(table, Text(note, style="dim"))


def _channels(pruning: PruningInfo) -> Group:
    rows = pruning.pruned or pruning.next_in_rank
    table = list_table(
        "Pruned channels"
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
    note = (
        "Mask: what recovery left of the channel (0 to 1). Score: how far its weights "
        f"moved while unlearning (1 is its layer's mean).{more}"
    )
    return Group(table, Text(note, style="dim"))
