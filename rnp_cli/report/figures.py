"""The charts of a report, each with the same numbers as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rnp_cli.report import charts, families
from rnp_cli.report.charts import Caption
from rnp_cli.report.detection import Family, TriggerInfo
from rnp_cli.report.facts import class_name
from rnp_cli.report.sanitization import PruningInfo, RankedChannel, Report
from rnp_cli.report.schema import UnlearnInfo

Row = tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """A chart, its keys (CSS class, meaning), and the same numbers as a table."""

    heading: str
    svg: str
    keys: tuple[tuple[str, str], ...]
    head: Row
    rows: tuple[Row, ...]
    note: str = ""


def curves(report: Report) -> Iterator[Figure]:
    """Draw how the clean skill went, and how it came back."""
    if report.unlearn is not None and report.unlearn.epochs:
        yield _unlearning(report.unlearn)
    if report.pruning is not None and report.pruning.recover:
        points = tuple(enumerate(report.pruning.recover, start=1))
        desc = f"Clean accuracy over {len(points)} epochs of recovery: {_ends(points)}."
        yield Figure(
            "Recovery",
            charts.shares(
                Caption("recovery", "Clean accuracy while recovering", desc),
                [charts.Line("accuracy", points)],
                across="epoch of recovery",
            ),
            (("accuracy", "clean accuracy"),),
            ("Epoch", "Clean accuracy"),
            tuple((str(epoch), f"{value:.1%}") for epoch, value in points),
        )


def _unlearning(unlearn: UnlearnInfo) -> Figure:
    points = tuple((n, e.clean_accuracy) for n, e in enumerate(unlearn.epochs, start=1))
    desc = (
        f"Clean accuracy over {len(points)} epochs of unlearning: {_ends(points)}. "
        f"The floor, where unlearning stops, is at {unlearn.floor:.1%}."
    )
    return Figure(
        "Unlearning",
        charts.shares(
            Caption("unlearning", "Clean accuracy while unlearning", desc),
            [charts.Line("accuracy", points)],
            across="epoch of unlearning",
            floor=unlearn.floor,
        ),
        (("accuracy", "clean accuracy"), ("floor", f"floor, {unlearn.floor:.1%}")),
        ("Epoch", "Clean accuracy", "Loss", "Learning rate"),
        tuple(
            (str(n), f"{e.clean_accuracy:.1%}", f"{e.loss:.3f}", f"{e.learning_rate:g}")
            for n, e in enumerate(unlearn.epochs, start=1)
        ),
    )


def _ends(points: tuple[tuple[int, float], ...]) -> str:
    return f"{points[0][1]:.1%} at first, {points[-1][1]:.1%} at the end"


def sizes(report: Report) -> Iterator[Figure]:
    """Draw triggers for each class, a chart for each family, and margins."""
    for family in families.HEADS:
        triggers = [t for t in report.triggers if t.family == family]
        if triggers:
            yield _sizes_of(family, triggers, report, "for each class", family)
    source = report.verdict.source
    if report.pairs and source is not None:
        ways = f"from {class_name(source, report.samples)} to each class"
        yield _sizes_of("overlay", [*report.pairs], report, ways, "pairs")
    if report.margins:
        yield _margins(report)


def _sizes_of(
    family: Family, triggers: list[TriggerInfo], report: Report, ways: str, key: str
) -> Figure:
    convicted = report.verdict.level != "none"
    suspect = (report.verdict.source, report.verdict.target)
    bars, rows, told = [], [], ""
    for trigger in triggers:
        way = (trigger.source, trigger.target)
        is_suspected = convicted and way == suspect
        size = trigger.norm if trigger.found else None
        written = "none found" if size is None else families.size(family, size)
        name = "any other than the true one"
        if trigger.target is not None:
            name = class_name(trigger.target, report.samples)
        label = "any" if trigger.target is None else str(trigger.target)
        bars.append(charts.Bar(label, size, is_suspected))
        turned = "" if size is None else f"{trigger.success:.0%}"
        rows.append((name, written, turned, "suspected" if is_suspected else ""))
        if is_suspected:
            told = f" Suspected: {name}, {written}."
    title = f"Smallest trigger {ways}: {families.HEADS[family]}"
    desc = f"Sizes for {len(bars)} classes. {families.NOTES[family]}{told}"
    head = families.HEADS[family]
    return Figure(
        head if key == family else f"{head}, {ways}",
        charts.bars(
            Caption(f"sizes-{key}", title, desc),
            bars,
            lambda size: families.size(family, size),
        ),
        _keys(bars),
        ("Class", families.HEADS[family], "Turns, estimated", "Verdict"),
        tuple(rows),
        families.NOTES[family],
    )


def _keys(bars: Sequence[charts.Bar]) -> tuple[tuple[str, str], ...]:
    """Explain what is there of bars."""
    keys = [("usual", "a class")]
    if any(bar.is_suspected for bar in bars):
        keys.append(("suspect", "suspected"))
    if any(bar.size is None for bar in bars):
        keys.append(("none", "no bar: none found"))
    return tuple(keys)


def _margins(report: Report) -> Figure:
    """Draw how far some input leads each class."""
    verdict = report.verdict
    is_told = verdict.level != "none" and verdict.source is None
    suspect = verdict.target if is_told else None
    bars, rows, told = [], [], ""
    for margin in report.margins:
        is_suspected = margin.target == suspect
        size = margin.margin if margin.margin > 0 else None
        written = "none found" if size is None else f"{size:.1f}"
        name = class_name(margin.target, report.samples)
        bars.append(charts.Bar(str(margin.target), size, is_suspected))
        rows.append((name, written, "suspected" if is_suspected else ""))
        if is_suspected:
            told = f" Suspected: {name}, {written}."
    note = (
        "How far some input leads the class before all others, in standard deviations "
        "of its output over the clean images."
    )
    return Figure(
        "Maximum margin",
        charts.bars(
            Caption(
                "margins",
                "Maximum margin for each class",
                f"Margins of {len(bars)} classes. {note}{told}",
            ),
            bars,
            lambda size: f"{size:.3g}",
        ),
        _keys(bars),
        ("Class", "Margin", "Verdict"),
        tuple(rows),
        note,
    )


def pruning(report: Report) -> Iterator[Figure]:
    """Draw what pruning costs and gains, and where the channels sit."""
    if report.pruning is None:
        return
    if report.pruning.path:
        yield _path(report.pruning)
    if report.pruning.pruned or report.pruning.next_in_rank:
        yield _map(report.pruning)


def _path(info: PruningInfo) -> Figure:
    clean = tuple((p.pruned, p.clean_accuracy) for p in info.path)
    turned = tuple((p.pruned, p.success) for p in info.path if p.success is not None)
    chosen = len(info.pruned) or None
    told = "none was chosen" if chosen is None else f"{chosen} channels were chosen"
    keys = [("accuracy", "clean accuracy on the holdout")]
    keys += [("success", "what recovered triggers turn, an estimate")] if turned else []
    keys += [("chosen", "chosen")] if chosen else []
    return Figure(
        "Accuracy against channels pruned",
        charts.shares(
            Caption(
                "path",
                "Clean accuracy and trigger success against channels pruned",
                f"Clean accuracy: {_ends(clean)}; {told}.",
            ),
            [charts.Line("accuracy", clean), charts.Line("success", turned)],
            across="channels pruned",
            chosen=chosen,
        ),
        tuple(keys),
        ("Pruned", "Clean accuracy", "Triggers turn", "Choice"),
        tuple(
            (
                str(p.pruned),
                f"{p.clean_accuracy:.1%}",
                "not measured" if p.success is None else f"{p.success:.1%}",
                "chosen" if p.pruned == chosen else "",
            )
            for p in info.path
        ),
    )


def _map(info: PruningInfo) -> Figure:
    layers: dict[str, tuple[list[RankedChannel], list[RankedChannel]]] = {}
    for which, channels in enumerate((info.pruned, info.next_in_rank)):
        for channel in channels:
            layers.setdefault(channel.layer, ([], []))[which].append(channel)
    by_name = sorted(layers.items())
    note = (
        "A row runs from channel 0 to the highest of those that are shown in its "
        "layer. The lower a channel's mask, the longer its tick."
    )
    desc = (
        f"{len(info.pruned)} channels pruned and {len(info.next_in_rank)} next "
        f"in rank, in {len(layers)} layers. {note}"
    )
    ticks = [
        (
            name,
            [charts.Tick(c.channel, c.mask, n == 0) for n in (0, 1) for c in both[n]],
        )
        for name, both in by_name
    ]
    return Figure(
        "Where the channels sit",
        charts.channel_map(Caption("map", "Pruned channels by layer", desc), ticks),
        (("pruned", "pruned, up"), ("next", "next in rank, down")),
        ("Layer", "Pruned (mask)", "Next in rank (mask)"),
        tuple((name, _listed(both[0]), _listed(both[1])) for name, both in by_name),
        note,
    )


def _listed(channels: list[RankedChannel]) -> str:
    return ", ".join(f"{c.channel} ({c.mask:.3f})" for c in channels)
