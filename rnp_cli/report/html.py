"""The report as one HTML page that loads nothing and runs one script: sorting."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rnp_cli.report import figures, tried, words
from rnp_cli.report.facts import class_name, interval
from rnp_cli.report.plain import plain
from rnp_cli.report.sanitization import Report


@dataclass(frozen=True)
class Headline:
    """A large figure; before: what it was, where that says something."""

    name: str
    before: str | None
    now: str
    note: str


@dataclass(frozen=True)
class Portrait:
    """A trigger as it looks: a name for it, and pictures with what they show.

    tiles: PNG in base64, what it is, and what models make of it.
    """

    name: str
    tiles: tuple[tuple[str, str, str], ...]


def html(report: Report) -> str:
    """Write the whole page; texts from files are plain and escaped."""
    pruning = report.pruning
    channels = () if pruning is None else (*pruning.pruned, *pruning.next_in_rank)
    script = _script() if channels else ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            title=words.title(report),
            tone=words.tone(report),
            said=words.said(report),
            headlines=list(_headlines(report)),
            facts=words.facts(report),
            outputs=words.outputs(report),
            sources=words.sources(report),
            tried=[tried.row(trigger) for trigger in report.tried],
            tried_note=tried.NOTE,
            portraits=list(_portraits(report)),
            curves=list(figures.curves(report)),
            sizes=list(figures.sizes(report)),
            pruned=list(figures.pruning(report)),
            channels=channels,
            channels_note=words.CHANNELS_NOTE,
            script=script,
            script_hash=f"sha256-{digest}",
        )
    )


def _portraits(report: Report) -> Iterator[Portrait]:
    for trigger in report.tried:
        shown = trigger.pictures
        if shown is None:
            continue
        tiles = [
            (shown.on_gray, "The trigger on gray", ""),
            (shown.extent, "Where it is", "the brighter, the stronger"),
        ]
        for sample in shown.samples:
            label, before, after = (
                class_name(number, report.samples)
                for number in (sample.label, sample.before, sample.after)
            )
            tiles.append((sample.clean, "Clean", label))
            said = f"{before} before, {after} after"
            tiles.append((sample.stamped, "With the trigger", said))
        name = tried.phrase(trigger)
        yield Portrait(name[0].upper() + name[1:], tuple(tiles))


def _script() -> str:
    templates = resources.files("rnp_cli.report").joinpath("templates")
    return templates.joinpath("sort.js").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("rnp_cli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalize(value: Any) -> Any:
    """Make every text that the template shows plain; markup passes as it is."""
    return plain(value) if type(value) is str else value


def _headlines(report: Report) -> Iterator[Headline]:
    accuracy, before = report.accuracy_before, None
    if report.outcome != "unchanged":
        accuracy, before = report.accuracy_after, f"{accuracy.value:.1%}"
    now = f"{accuracy.value:.1%}"
    yield Headline("Clean accuracy", before, now, f"now {interval(accuracy)}")
    if report.success is not None:
        first, last = report.success
        yield Headline(
            "Estimated attack success",
            f"{first:.0%}",
            f"{last:.0%}",
            "rate of the best recovered trigger; the attacker's own may do better",
        )
    else:
        note = "no estimate: no recovered trigger was tried"
        yield Headline("Attack success", None, "unknown", note)
    yield Headline(
        "Channels pruned",
        None,
        f"{len(report.pruned):,}",
        f"of {report.model.channels:,}",
    )
    repair = report.repair
    if repair is None:
        note = "not repaired" if report.distillation is None else "distilled instead"
        yield Headline("Rounds of repair", None, "0", note)
    else:
        left = "nothing" if repair.is_exhausted else "more"
        note = f"{left} was left to recover at the end"
        yield Headline("Rounds of repair", None, str(report.rounds), note)
