"""A detection as Rich renderables for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rnp_cli.report import families, words
from rnp_cli.report.detection import QUOTABLE, Detection, Family, TriggerInfo
from rnp_cli.report.facts import (
    class_name,
    facts_table,
    interval,
    list_table,
    model_facts,
    not_checked,
    only_in_json,
)
from rnp_cli.report.plain import plain

_STYLES = {"none": "green", "weak": "yellow", "strong": "red"}
_TITLES = {
    "none": "No evidence of a backdoor",
    "weak": "Weak evidence of a backdoor",
    "strong": "Strong evidence of a backdoor",
}
_MOST_ROWS = 15
_MARGIN_NOTE = (
    "Margin: how far some input leads the class before all others, in standard "
    "deviations of its output over clean images."
)


def render_detection(detection: Detection) -> RenderableType:
    """Verdict first, then the facts, the classes, and what was not checked."""
    tables: list[RenderableType] = [_facts(detection), _classes(detection)]
    if detection.pairs and detection.verdict.source is not None:
        tables.append(_pairs(detection, detection.verdict.source))
    return Group(
        _verdict(detection),
        *(Padding(table, (0, 0, 1, 1)) for table in tables),
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
    verdict, trigger = detection.verdict, detection.quoted
    if verdict.kind == "all-to-all" and trigger is not None:
        return (
            f"{_phrase(trigger)} turns {trigger.success:.0%} of the clean images "
            "to another class than their own, and no one class in "
            f"particular (p = {verdict.p_value:.2g}). `rnp sanitize` is the next step."
        )
    if verdict.target is not None:
        named = class_name(verdict.target, detection.samples)
        seen = []
        if trigger is not None:
            whose, others = "", "the other classes"
            if trigger.source is not None:
                whose = f" of {class_name(trigger.source, detection.samples)}"
                others = "other pairs of classes"
            seen.append(
                f"{_phrase(trigger)} turns {trigger.success:.0%} of the clean images"
                f"{whose} to {named}; {others} need more."
            )
        p_label = 1.0 if verdict.p_label is None else verdict.p_label
        if detection.label is not None and p_label <= QUOTABLE:
            share = detection.label.shares[verdict.target]
            seen.append(
                f"While the model unlearns, {share:.0%} of its new mistakes go to "
                f"{named}."
            )
        p_margin = 1.0 if verdict.p_margin is None else verdict.p_margin
        by_class = _margins(detection)
        if verdict.target in by_class and p_margin <= QUOTABLE:
            own = by_class.pop(verdict.target)
            seen.append(
                f"Some input leads {named} by {own:.1f} times what it varies by on "
                f"clean images, and none leads another class by more than "
                f"{max(by_class.values(), default=0.0):.1f} times."
            )
        seen.append(f"p = {verdict.p_value:.2g}; `rnp sanitize` is the next step.")
        return " ".join(seen)
    mistakes = ""
    if detection.label is not None:
        mistakes = ", and none draws more of the new mistakes than chance explains"
    if detection.margins:
        mistakes += ", or is led much farther by some input than the others"
    if any(t.found for t in detection.triggers if t.target is not None):
        return (
            "No class can be reached by a change much smaller than the others need"
            f"{mistakes} (p = {verdict.p_value:.2g})."
        )
    return f"No change was found that turns clean images to any one class{mistakes}."


def _facts(detection: Detection) -> Table:
    rows = [
        *model_facts(detection.model, detection.input, detection.samples),
        ("Accuracy", interval(detection.accuracy)),
    ]
    if detection.label is not None:
        said = words.new_mistakes(detection.label, detection.samples)
        rows.append(("Unlearning", said))
    if detection.margins:
        said = words.widest_margin(detection.margins, detection.samples)
        rows.append(("Widest margin", said))
    if detection.unlearn_failure is not None:
        rows.append(("Unlearning", detection.unlearn_failure))
    rows += [("Finding", finding) for finding in detection.model.findings]
    rows += words.policy_facts(detection)
    return facts_table(rows)


def _phrase(trigger: TriggerInfo) -> str:
    phrase = families.phrase(trigger.family, trigger.norm)
    return phrase[0].upper() + phrase[1:]


def _classes(detection: Detection) -> Group:
    shown: list[Family] = [
        family
        for family in families.HEADS
        if any(t.family == family for t in detection.triggers)
    ]
    if not shown:
        return _without_triggers(detection)
    table = list_table("Smallest triggers for each class")
    table.add_column("Class", overflow="fold")
    for family in shown:
        table.add_column(families.HEADS[family], justify="right")
    table.add_column("Margin", justify="right")
    table.add_column("Mistakes", justify="right")
    by_class: dict[int | None, dict[Family, TriggerInfo]] = {}
    for trigger in detection.triggers:
        by_class.setdefault(trigger.target, {})[trigger.family] = trigger
    by_size = sorted(by_class, key=lambda target: _least(by_class[target], shown[0]))
    for target in by_size[:_MOST_ROWS]:
        sizes = [_size(by_class[target].get(family)) for family in shown]
        name, margin, drawn = _named(target, detection)
        table.add_row(name, *sizes, margin, drawn)
    more = only_in_json(len(by_size) - _MOST_ROWS)
    note = (
        "Smallest change found that turns clean images to the class: a pattern laid "
        "over so many pixels, a change of all pixels by so many percent of their range "
        "(root mean square), a warp by so many pixels. "
        f"{_MARGIN_NOTE} Mistakes: the share of new ones "
        f"that the class draws, early while unlearning.{more}"
    )
    return Group(table, Text(note, style="dim"))


def _without_triggers(detection: Detection) -> Group:
    """Show margins, and where mistakes go, where no triggers were recovered."""
    label, margins = detection.label, _margins(detection)
    shares = dict(enumerate(label.shares)) if label is not None else margins
    suspect = detection.verdict.target
    table = list_table("Margins and new mistakes" if label is not None else "Margins")
    table.add_column("Class", overflow="fold")
    table.add_column("Margin", justify="right")
    if label is not None:
        table.add_column("Share", justify="right")
    order = sorted(shares, key=lambda target: (target != suspect, -shares[target]))
    for target in order[:_MOST_ROWS]:
        table.add_row(*_named(target, detection)[: len(table.columns)])
    hidden = len(order) - _MOST_ROWS
    note = _MARGIN_NOTE
    if label is not None:
        note += (
            " Share: of the new mistakes made early, while half of the clean skill is "
            "left."
        )
    note += f" {hidden} more classes are in the JSON." if hidden > 0 else ""
    return Group(table, Text(note, style="dim"))


def _pairs(detection: Detection, source: int) -> Group:
    """Show what leads from the class of the verdict to each other one."""
    named = class_name(source, detection.samples)
    table = list_table(f"Smallest patterns, {plain(named)}")
    table.add_column("Class", overflow="fold")
    table.add_column(families.HEADS["overlay"], justify="right")
    table.add_column("Turned", justify="right")
    by_size = sorted(detection.pairs, key=lambda pair: (not pair.found, pair.norm))
    for pair in by_size[:_MOST_ROWS]:
        turned = f"{pair.success:.0%}" if pair.found else ""
        table.add_row(_named(pair.target, detection)[0], _size(pair), turned)
    more = only_in_json(len(by_size) - _MOST_ROWS)
    note = (
        f"Smallest pattern that turns clean images of {plain(named)} to the class. "
        f"Turned: the share of those held out that it turns.{more}"
    )
    return Group(table, Text(note, style="dim"))


def _least(triggers: dict[Family, TriggerInfo], family: Family) -> tuple[bool, float]:
    trigger = triggers.get(family)
    return (False, trigger.norm) if trigger and trigger.found else (True, 0.0)


def _size(trigger: TriggerInfo | None) -> str:
    if trigger is None:
        return ""
    return families.size(trigger.family, trigger.norm) if trigger.found else "none"


def _margins(detection: Detection) -> dict[int, float]:
    return {margin.target: margin.margin for margin in detection.margins}


def _written(margin: float | None) -> str:
    if margin is None:
        return ""
    return f"{margin:.1f}" if margin > 0 else "none"


def _named(target: int | None, detection: Detection) -> tuple[Text, str, str]:
    """Return the class, its margin, and the share of mistakes that it draws."""
    if target is None:
        return Text("any other than the true one"), "", ""
    name = Text(plain(class_name(target, detection.samples)))
    margin = _margins(detection).get(target)
    label = detection.label
    return (
        name,
        _written(margin),
        "" if label is None else f"{label.shares[target]:.0%}",
    )
