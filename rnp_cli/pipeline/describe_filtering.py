"""From what the filter found to its report."""

from __future__ import annotations

from pathlib import Path

import torch

from rnp_cli._version import __version__
from rnp_cli.defense.channels import find_channel_layers
from rnp_cli.device import describe
from rnp_cli.pipeline.describe import (
    accuracy,
    doubts,
    input_info,
    model_info,
    sample_info,
    sanitized_info,
    unlearn_info,
)
from rnp_cli.pipeline.filter_request import FilterRequest, Prepared
from rnp_cli.pipeline.tally import Tally
from rnp_cli.report.filtering import Filtering, RateInfo
from rnp_cli.report.plain import plain
from rnp_cli.report.schema import RunInfo


def filtering(
    request: FilterRequest, prepared: Prepared, tally: Tally, run: RunInfo
) -> Filtering:
    """Put what was found into one record."""
    clean, parts = prepared.opened.clean, prepared.parts
    layers = find_channel_layers(clean.classifier, parts.fit.images[:2])
    detector = prepared.detector
    rate = RateInfo(
        requested=request.fpr,
        used=max(request.fpr, detector.least_rate),
        holdout=len(detector.held_out),
    )
    opened, exposed = prepared.opened, prepared.exposed
    return Filtering(
        tool_version=__version__,
        torch_version=torch.__version__,
        device=describe(parts.fit.images.device),
        seed=request.seed,
        suspects=plain(str(request.suspects)),
        rate=rate,
        counts=tally.counts(),
        most_suspect=tally.most_suspect(),
        unreadable=tally.unreadable(),
        output=_shown(request.output),
        quarantine=_shown(request.quarantine),
        moved=request.move,
        model=model_info(request, opened.checkpoint, opened.architecture, layers),
        input=input_info(clean),
        samples=sample_info(request, clean, parts, prepared.augmentation),
        accuracy=accuracy(clean.classifier, clean.samples),
        sanitized=sanitized_info(request.sanitized, prepared.sibling, clean),
        unlearn=None if exposed is None else unlearn_info(exposed.unlearned),
        stops=0 if exposed is None else len(exposed.stops),
        not_checked=(*doubts(clean), *_not_checked(request, rate, tally)),
        settings={
            "unlearn": request.unlearn.model_dump(),
            "samples": request.samples.model_dump(),
        },
        run=run,
    )


def _shown(path: Path | None) -> str | None:
    return None if path is None else plain(str(path))


def _not_checked(request: FilterRequest, rate: RateInfo, tally: Tally) -> list[str]:
    notes = [
        "How many of the triggered images are found: no triggered image is known. An "
        "image that is not suspect is not proven clean; backdoors that work on one "
        "class only, or that move every class on, hide best.",
        "Whether the suspects are taken like the clean images: the rate of false "
        "alarms holds for images that come from the same source as those.",
    ]
    if request.sanitized is not None:
        notes.append(
            "Whether the sanitized file was made from these clean images with this "
            "seed and share of the holdout: what is held out here was held out there "
            "only then, and the rate of false alarms rests on that. What a backdoor "
            "still does in the sanitized model, it hides from this."
        )
    if request.labels == "from-model":
        notes.append("The labels: they are the model's own predictions.")
    if rate.used > rate.requested:
        notes.append(
            f"A false-positive rate of {rate.requested:.2%}: {rate.holdout} held-out "
            f"images can tell rates from {rate.used:.2%} on, which was used. More "
            "clean images reach lower ones."
        )
    counts = tally.counts()
    if counts.unreadable:
        notes.append(f"Files that could not be read: {counts.unreadable:,}.")
    if counts.passed_over:
        notes.append(
            "Files that are not named as images, or are links to others in the "
            f"folder: {counts.passed_over:,}."
        )
    return notes
