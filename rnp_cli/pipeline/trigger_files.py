"""The files of recovered triggers: masks and triggers as PNG, and a sheet of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch

from rnp_cli.data.load import CleanSamples
from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.export.pictures import picture, png
from rnp_cli.export.sheet import Row, Tile, sheet
from rnp_cli.report import families

SHEET = "sheet.png"
REPORT = "triggers.json"
OWN = re.compile(
    r"sheet\.png|triggers\.json|(class-\d+|any-class)\.(trigger|mask)\.png"
)
_MOST_ROWS = 8
_MOST_SAMPLES = 6


def file_names(trigger: RecoveredTrigger) -> tuple[str, ...]:
    """Return what the PNGs of a trigger are called: trigger, then mask."""
    if not trigger.found:
        return ()
    stem = "any-class" if trigger.target is None else f"class-{trigger.target}"
    return f"{stem}.trigger.png", f"{stem}.mask.png"


def pictures(
    triggers: Sequence[RecoveredTrigger], clean: CleanSamples, holdout: Samples
) -> Mapping[str, bytes]:
    """Return by name the PNGs of what was found, and a sheet of the smallest masks."""
    found = [trigger for trigger in triggers if trigger.found]
    files = {}
    for trigger in found:
        images = (trigger.change.picture(), trigger.change.extent())
        for name, image in zip(file_names(trigger), images, strict=True):
            files[name] = png(picture(image))
    smallest = sorted(found, key=lambda trigger: trigger.norm)[:_MOST_ROWS]
    samples = various(holdout, clean.num_classes, most=_MOST_SAMPLES)
    rows = [_clean_row(clean, samples)]
    rows += [_row(trigger, clean, samples) for trigger in smallest]
    files[SHEET] = png(sheet(rows))
    return files


def _clean_row(clean: CleanSamples, samples: Samples) -> Row:
    shown = _answered(clean, samples)
    nothing = Tile(None, "")
    return Row("Clean images, and what the model says", [nothing, nothing, *shown])


def _row(trigger: RecoveredTrigger, clean: CleanSamples, samples: Samples) -> Row:
    stamped = Samples(trigger.stamp(samples.images), samples.labels)
    mask = Tile(trigger.change.extent(), "mask")
    gray = torch.full_like(samples.images[:1], 0.5)
    blended = Tile(trigger.stamp(gray)[0], "on gray")  # where it paints black, it shows
    what = families.phrase(trigger.family, trigger.norm)
    title = f"{_goal(trigger.target, clean)}: {what}"
    return Row(title, [mask, blended, *_answered(clean, stamped)])


def _answered(clean: CleanSamples, samples: Samples) -> list[Tile]:
    """Show each image over its true class and the model's answer."""
    answers = logits_of(clean.classifier, samples.images).argmax(1).tolist()
    return [
        Tile(image, f"{true} -> {answer}")
        for image, true, answer in zip(
            samples.images, samples.labels.tolist(), answers, strict=True
        )
    ]


def various(samples: Samples, num_classes: int, *, most: int) -> Samples:
    """Take a sample of each of some classes that lie far apart in the order."""
    labels = samples.labels.cpu()
    first = [(labels == number).nonzero()[:1, 0] for number in range(num_classes)]
    chosen = torch.cat(first)
    spread = torch.linspace(0, len(chosen) - 1, min(most, len(chosen)))
    return samples.take(chosen[spread.round().long()])


def _goal(target: int | None, clean: CleanSamples) -> str:
    if target is None:
        return "Any other class"
    name = clean.class_names[target] if target < len(clean.class_names) else ""
    shown = name.isascii() and name.isprintable() and name not in ("", str(target))
    return f"Class {target}" + (f" ({name[:40]})" if shown else "")
