"""Recovered triggers as Rich renderables for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text

from rnp_cli.report import families
from rnp_cli.report.facts import (
    Fact,
    class_name,
    facts_table,
    interval,
    list_table,
    model_facts,
    not_checked,
    only_in_json,
)
from rnp_cli.report.plain import plain
from rnp_cli.report.triggers import RecoveredInfo, TriggerReport

_MOST_ROWS = 15


def render_triggers(report: TriggerReport) -> RenderableType:
    """Smallest trigger first, then facts, all triggers, and what was not checked."""
    by_size = sorted(report.triggers, key=lambda t: (not t.found, t.norm))
    return Group(
        _smallest(by_size[0], report),
        Padding(facts_table(_facts(report)), (0, 0, 1, 1)),
        Padding(_table(by_size, report), (0, 0, 1, 1)),
        Padding(not_checked(report.not_checked), (0, 0, 0, 1)),
    )


def _smallest(trigger: RecoveredInfo, report: TriggerReport) -> Panel:
    if trigger.found:
        what = families.phrase(report.family, trigger.norm)
        text = (
            f"{what[0].upper()}{what[1:]} turns an estimated "
            f"{trigger.estimated_success:.0%} of clean images to "
            f"{_goal(trigger, report)}"
        )
        if trigger.estimated_success_sanitized is not None:
            share = trigger.estimated_success_sanitized
            text += f", and on the sanitized file an estimated {share:.0%}"
        text += ". Whether that is a backdoor, `rnp detect` weighs."
    else:
        text = "No trigger was found that turns clean images to what was looked for."
    return Panel(
        Text(plain(text)),
        title="Smallest trigger recovered",
        title_align="left",
        border_style="cyan",
    )


def _facts(report: TriggerReport) -> list[Fact]:
    rows = [
        *model_facts(report.model, report.input, report.samples),
        ("Accuracy", interval(report.accuracy)),
        ("Inverted on", _inverted_on(report)),
    ]
    findings = report.model.findings
    if report.sanitized is not None:
        rows.append(("Sanitized", f"{report.sanitized.file}, see the last column"))
        rows.append(("its accuracy", interval(report.sanitized.accuracy)))
        findings += report.sanitized.findings
    return rows + [("Finding", finding) for finding in findings]


def _inverted_on(report: TriggerReport) -> str:
    if report.unlearn is None:
        return "the model as it is"
    epochs = report.unlearn.epochs
    left = f", {epochs[-1].clean_accuracy:.1%} on the holdout" if epochs else ""
    return f"a copy after {len(epochs)} epochs of unlearning, half way down{left}"


def _table(triggers: list[RecoveredInfo], report: TriggerReport) -> Group:
    table = list_table("Smallest trigger for each class")
    table.add_column("Class", overflow="fold")
    table.add_column(families.HEADS[report.family], justify="right")
    table.add_column("Index", justify="right")
    if report.inverted_on == "unlearned":
        table.add_column("On the copy", justify="right")
    table.add_column("Est. success", justify="right")
    if report.sanitized is not None:
        table.add_column("Sanitized", justify="right")
    for trigger in triggers[:_MOST_ROWS]:
        table.add_row(*_row(trigger, report))
    more = only_in_json(len(triggers) - _MOST_ROWS)
    note = (
        f"{families.NOTES[report.family]} Index: how far it lies below those of the "
        "other classes, in standard deviations. Est. success: the attack success rate, "
        "estimated as the share of held-out clean images that the recovered trigger "
        f"turns.{more}"
    )
    if report.inverted_on == "unlearned":
        note += " On the copy: the share that it turns on the copy it was found on."
    return Group(table, Text(note, style="dim"))


def _row(trigger: RecoveredInfo, report: TriggerReport) -> list[Text | str]:
    name = Text(plain(_goal(trigger, report)))
    if not trigger.found:
        return [name, "none found"]
    index = "" if trigger.index is None else f"{trigger.index:.1f}"
    on_copy = report.inverted_on == "unlearned"
    after = trigger.estimated_success_sanitized
    return [
        name,
        families.size(report.family, trigger.norm),
        index,
        *([f"{trigger.success_where_found:.0%}"] if on_copy else []),
        f"{trigger.estimated_success:.0%}",
        *([] if after is None else [f"{after:.0%}"]),
    ]


def _goal(trigger: RecoveredInfo, report: TriggerReport) -> str:
    if trigger.target is None:
        return "any other class"
    return class_name(trigger.target, report.samples)
