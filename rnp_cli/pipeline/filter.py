"""Score every image of a folder for being triggered, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field

from rnp_cli._version import __version__
from rnp_cli.data.split import split
from rnp_cli.data.stream import Batch, stream_images
from rnp_cli.data.walk import Found, walk_images
from rnp_cli.defense.augment import Augmentation, bearable_augmentation
from rnp_cli.defense.channels import find_channel_layers
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.unlearn import UnlearnConfig
from rnp_cli.device import describe, reproducible, suitable_threads
from rnp_cli.errors import InputRefused, UsageError
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore
from rnp_cli.evidence.samples import (
    Exposed,
    SampleConfig,
    SampleDetector,
    calibrate,
    expose,
)
from rnp_cli.export.atomic import check_writable, writing
from rnp_cli.export.quarantine import Quarantine
from rnp_cli.pipeline.clock import Clock
from rnp_cli.pipeline.describe import (
    accuracy,
    input_info,
    model_info,
    sample_info,
    unlearn_info,
)
from rnp_cli.pipeline.opening import OpenedModel, read_model, with_samples
from rnp_cli.pipeline.request import ModelRequest
from rnp_cli.pipeline.tally import Tally
from rnp_cli.report.filtering import Filtering, RateInfo, SuspectRow
from rnp_cli.report.filtering_rows import ROW_FORMATS, RowFormat
from rnp_cli.report.plain import plain

STAGE = "score"
BATCH = 64  # images that are decoded at a time

Take = Callable[[SuspectRow], None]


class FilterRequest(ModelRequest):
    """Which images to judge, how strictly, and what to write.

    fpr: the share of clean images that may be called suspect. output: the file for the
    rows, or None. quarantine: the folder for the suspect files, copied there unless
    ``move`` is set, or None.
    """

    suspects: Path
    fpr: float = Field(0.01, gt=0, lt=1)
    output: Path | None = None
    force: bool = False
    quarantine: Path | None = None
    move: bool = False
    holdout_share: float = Field(0.5, gt=0, lt=1)
    """More than elsewhere: what is held out decides which rates can be told."""
    unlearn: UnlearnConfig = UnlearnConfig()
    samples: SampleConfig = SampleConfig()


@dataclass(frozen=True, eq=False)
class _Prepared:
    """The model and what judges images with it."""

    opened: OpenedModel
    parts: SplitSamples
    augmentation: Augmentation
    exposed: Exposed
    detector: SampleDetector


def filter_suspects(request: FilterRequest, *, listen: Listener = ignore) -> Filtering:
    """Say which images of a folder seem to be triggered.

    Raises an RnpError with its exit code for bad input, and DefenseFailed where the
    model cannot be unlearned. A suspect file that cannot be read stops nothing.
    """
    clock = Clock(listen)
    quarantine = _check(request)
    read = read_model(request, clock)
    with reproducible():
        opened = with_samples(read, request, clock)
        clean = opened.clean
        with suitable_threads(clean.classifier, clean.samples.images[:1]):
            prepared = _prepare(request, opened, clock)
            tally = _score(request, prepared, quarantine, clock)
            return _filtering(request, prepared, tally, clock)


def _check(request: FilterRequest) -> Quarantine | None:
    """Refuse before the work what would fail after it."""
    if request.move and request.quarantine is None:
        raise UsageError("--move says how files go to --quarantine, which is missing.")
    files = walk_images(request.suspects)
    if not any(isinstance(file, Found) for file in files):
        raise InputRefused(f"{request.suspects} holds no images.")
    if request.output is not None:
        _row_format(request.output)
        check_writable((request.output,), force=request.force)
    if request.quarantine is None:
        return None
    return Quarantine(request.quarantine, request.suspects, move=request.move)


def _row_format(output: Path) -> RowFormat:
    if output.suffix not in ROW_FORMATS:
        raise UsageError(f"{output.name} does not end in {' or '.join(ROW_FORMATS)}.")
    return ROW_FORMATS[output.suffix]


def _prepare(
    request: FilterRequest, opened: OpenedModel, listen: Listener
) -> _Prepared:
    clean = opened.clean
    model, device = clean.classifier, clean.samples.images.device
    parts = split(
        clean.samples,
        num_classes=clean.num_classes,
        holdout_share=request.holdout_share,
        seed=request.seed,
    )
    augmentation = bearable_augmentation(model, parts.fit, seed=request.seed)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(request.seed)  # dropout draws from the global generator
        exposed = expose(
            model,
            parts,
            request.samples,
            request.unlearn,
            augmentation=augmentation,
            seed=request.seed,
            listen=listen,
        )
    detector = calibrate(model, exposed.stops, parts, request.samples)
    return _Prepared(opened, parts, augmentation, exposed, detector)


def _score(
    request: FilterRequest,
    prepared: _Prepared,
    quarantine: Quarantine | None,
    listen: Listener,
) -> Tally:
    """Judge file after file; write, and put aside, as soon as it is known."""
    clean = prepared.opened.clean
    tally = Tally(clean.num_classes)
    listen(StageStarted(stage=STAGE))
    with ExitStack() as stack:
        takers: list[Take] = [tally.count]
        if request.output is not None:
            takers.append(stack.enter_context(_rows_to(request.output, request.force)))
        for path, row in _rows(request, prepared, tally):
            for take in takers:
                take(row)
            if quarantine is not None and row.suspect:
                quarantine.take(path)
            if tally.scored % BATCH == 0:
                listen(StepDone(stage=STAGE, step=tally.scored))
    counts = tally.counts()
    summary = f"{counts.suspect:,} of {counts.scored:,} images are suspect"
    listen(StageDone(stage=STAGE, summary=summary))
    return tally


@contextmanager
def _rows_to(output: Path, force: bool) -> Iterator[Take]:
    """Give what writes a row to the output."""
    form = _row_format(output)
    with writing(output, force=force) as write:
        write(form.head)
        before = ""

        def take(row: SuspectRow) -> None:
            nonlocal before
            write(before + form.row(row))
            before = form.between

        yield take
        write(form.tail)


def _rows(
    request: FilterRequest, prepared: _Prepared, tally: Tally
) -> Iterator[tuple[Path, SuspectRow]]:
    def found() -> Iterator[Found]:
        for file in walk_images(request.suspects):
            if isinstance(file, Found):
                yield file
            else:
                tally.passed_over += 1

    spec = prepared.opened.clean.spec
    for batch in stream_images(found(), spec, batch_size=BATCH):
        yield from _judged(batch, request, prepared.detector)


def _judged(
    batch: Batch, request: FilterRequest, detector: SampleDetector
) -> Iterator[tuple[Path, SuspectRow]]:
    verdicts: Iterator[tuple[int, float, float]] = iter(())
    if batch.images is not None:
        judged = detector.judge(batch.images.to(detector.device))
        verdicts = zip(
            judged.predicted.tolist(),
            judged.scores.tolist(),
            judged.p_values.tolist(),
            strict=True,
        )
    rate = _rate(request, detector).used
    for file in batch.files:
        name = _name(file.path, request.suspects)
        if file.refused is not None:
            yield file.path, SuspectRow(file=name, error=file.refused)
            continue
        predicted, score, p_value = next(verdicts)
        yield (
            file.path,
            SuspectRow(
                file=name,
                predicted=predicted,
                score=round(score, 4),
                p_value=round(p_value, 6),
                suspect=p_value <= rate,
            ),
        )


def _name(path: Path, folder: Path) -> str:
    """Return the path in the folder; bytes that are no text are escaped."""
    name = path.relative_to(folder).as_posix()
    return name.encode("utf-8", "backslashreplace").decode()


def _rate(request: FilterRequest, detector: SampleDetector) -> RateInfo:
    return RateInfo(
        requested=request.fpr,
        used=max(request.fpr, detector.least_rate),
        holdout=len(detector.held_out),
    )


def _filtering(
    request: FilterRequest, prepared: _Prepared, tally: Tally, clock: Clock
) -> Filtering:
    clean, parts = prepared.opened.clean, prepared.parts
    layers = find_channel_layers(clean.classifier, parts.fit.images[:2])
    rate = _rate(request, prepared.detector)
    opened = prepared.opened
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
        unlearn=unlearn_info(prepared.exposed.unlearned),
        stops=len(prepared.exposed.stops),
        not_checked=tuple(_not_checked(rate, tally)),
        settings={
            "unlearn": request.unlearn.model_dump(),
            "samples": request.samples.model_dump(),
        },
        run=clock.run(),
    )


def _shown(path: Path | None) -> str | None:
    return None if path is None else plain(str(path))


def _not_checked(rate: RateInfo, tally: Tally) -> list[str]:
    notes = [
        "How many of the triggered images are found: no triggered image is known. An "
        "image that is not suspect is not proven clean; backdoors that work on one "
        "class only, or that move every class on, hide best.",
        "Whether the suspects are taken like the clean images: the rate of false "
        "alarms holds for images that come from the same source as those.",
    ]
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
