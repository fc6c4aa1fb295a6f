"""A detection as Rich renderables for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rnp_cli.report.detection import Detection, TriggerInfo
from rnp_cli.report.facts import (
    class_name,
    facts_table,
    interval,
    list_table,
    model_facts,
    not_checked,
)
from rnp_cli.report.plain import plain

_STYLES = {"none": "green", "weak": "yellow", "strong": "red"}
_TITLES = {
    "none": "No evidence of a backdoor",
    "weak": "Weak evidence of a backdoor",
    "strong": "Strong evidence of a backdoor",
}
_MOST_ROWS = 15


def render_detection(detection: Detection) -> RenderableType:
    """Verdict first, then the facts, the classes, and what was not checked."""
    return Group(
        _verdict(detection),
        Padding(_facts(detection), (0, 0, 1, 1)),
        Padding(_classes(detection), (0, 0, 1, 1)),
        Padding(not_checked(detection.not_checked), (0, 0, 0, 1)),
    )


def _verdict(detection: Detection) -> Panel:
    verdict = detection.verdict
    return Panel(
        Text(plain(_said(detection))),
        title=_TITLES[verdict.level],
        title_align="left",
        border_style=_STYLES[verdict.level],
    )


def _said(detection: Detection) -> str:
    verdict = detection.verdict
    if verdict.kind == "all-to-all":
        trigger = next(t for t in detection.triggers if t.target is None)
        return (
            f"A pattern over {trigger.norm:.1f} pixels turns {trigger.success:.0%} of "
            "the clean images to another class than their own, and no one class in "
            f"particular (p = {verdict.p_value:.2g}). `rnp sanitize` is the next step."
        )
    if verdict.target is not None:
        named = class_name(verdict.target, detection.samples)
        trigger = next(t for t in detection.triggers if t.target == verdict.target)
        seen = []
        if verdict.p_inversion <= 0.1:
            seen.append(
                f"A pattern over {trigger.norm:.1f} pixels turns "
                f"{trigger.success:.0%} of the clean images to {named}; the other "
                "classes need larger ones."
            )
        if detection.label is not None and (verdict.p_label or 1) <= 0.1:
            share = detection.label.shares[verdict.target]
            seen.append(
                f"While the model unlearns, {share:.0%} of its new mistakes go to "
                f"{named}."
            )
        seen.append(f"p = {verdict.p_value:.2g}; `rnp sanitize` is the next step.")
        return " ".join(seen)
    mistakes = ""
    if detection.label is not None:
        mistakes = ", and none draws more of the new mistakes than chance explains"
    if any(t.found for t in detection.triggers if t.target is not None):
        return (
            "No class can be reached by a pattern much smaller than the others need"
            f"{mistakes} (p = {verdict.p_value:.2g})."
        )
    return f"No pattern was found that turns clean images to any one class{mistakes}."


def _facts(detection: Detection) -> Table:
    rows = [
        *model_facts(detection.model, detection.input, detection.samples),
        ("Accuracy", interval(detection.accuracy)),
    ]
    if detection.label is not None:
        named = class_name(detection.label.target, detection.samples)
        share = detection.label.share
        rows.append(("Unlearning", f"{share:.0%} of its new mistakes go to {named}"))
    if detection.unlearn_failure is not None:
        rows.append(("Unlearning", detection.unlearn_failure))
    rows += [("Finding", finding) for finding in detection.model.findings]
    return facts_table(rows)


def _classes(detection: Detection) -> Group:
    table = list_table("Smallest trigger for each class")
    table.add_column("Class", overflow="fold")
    table.add_column("Mask, pixels", justify="right")
    table.add_column("Turns", justify="right")
    table.add_column("Mistakes", justify="right")
    by_size = sorted(detection.triggers, key=lambda t: (not t.found, t.norm))
    for trigger in by_size[:_MOST_ROWS]:
        table.add_row(*_row(trigger, detection))
    hidden = len(by_size) - _MOST_ROWS
    more = f" {hidden} more are in the JSON." if hidden > 0 else ""
    note = (
        "Mask: the sum of the smallest mask found, in pixels. Turns: the share of "
        "held-out clean images that the recovered trigger turns. Mistakes: the share "
        f"of new ones that the class draws, early while unlearning.{more}"
    )
    return Group(table, Text(note, style="dim"))


def _row(trigger: TriggerInfo, detection: Detection) -> tuple[Text, str, str, str]:
    if trigger.target is None:
        name, drawn = "any other than the true one", ""
    else:
        name = class_name(trigger.target, detection.samples)
        label = detection.label
        drawn = "" if label is None else f"{label.shares[trigger.target]:.0%}"
    if not trigger.found:
        return Text(plain(name)), "none found", "", drawn
    return Text(plain(name)), f"{trigger.norm:.1f}", f"{trigger.success:.0%}", drawn
