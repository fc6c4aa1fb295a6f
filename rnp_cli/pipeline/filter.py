"""Score every image of a folder for being triggered, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from rnp_cli.data.stream import Batch, stream_images
from rnp_cli.data.walk import Found, walk_images
from rnp_cli.defense.augment import bearable_augmentation
from rnp_cli.defense.rnp import DefenseConfig
from rnp_cli.device import reproducible, seeded, suitable_threads
from rnp_cli.errors import InputRefused, UsageError
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore
from rnp_cli.evidence.samples import (
    SampleDetector,
    calibrate,
    expose,
    kept_classes,
    lost_classes,
)
from rnp_cli.export.atomic import check_writable, writing
from rnp_cli.export.quarantine import NotTaken, Quarantine
from rnp_cli.pipeline.clock import Clock
from rnp_cli.pipeline.describe_filtering import filtering
from rnp_cli.pipeline.filter_request import FilterRequest, Prepared
from rnp_cli.pipeline.memory import no_smaller, within_cpu_memory, within_gpu_memory
from rnp_cli.pipeline.opening import (
    OpenedModel,
    Sibling,
    read_model,
    read_sibling,
    with_samples,
)
from rnp_cli.pipeline.tally import Tally
from rnp_cli.report.filtering import Filtering, SuspectRow
from rnp_cli.report.filtering_rows import ROW_FORMATS, RowFormat
from rnp_cli.report.plain import plain

STAGE = "score"
BATCH = 64  # images that are decoded at a time

Take = Callable[[SuspectRow], None]


def filter_suspects(request: FilterRequest, *, listen: Listener = ignore) -> Filtering:
    """Say which images of a folder seem to be triggered.

    Raises an RnpError with its exit code for bad input, and DefenseFailed where the
    model cannot be unlearned. A suspect file that cannot be read, or put
    aside, stops nothing.
    """
    clock = Clock(listen)
    quarantine = _check(request)
    read = read_model(request, clock)
    with reproducible():
        opened = with_samples(read, request, clock)
        clean = opened.clean
        with suitable_threads(clean.classifier, clean.samples.images[:1]):
            if request.sanitized is None:
                image = clean.samples.images[:1]
                request = within_cpu_memory(request, clean.classifier, image, clock)

            def prepare(asked: FilterRequest) -> tuple[FilterRequest, Prepared]:
                return asked, _prepare(asked, opened, clock)

            request, prepared = within_gpu_memory(prepare, request, clock)
            with no_smaller():  # what was put aside cannot be judged again
                tally = _score(request, prepared, quarantine, clock)
            return filtering(request, prepared, tally, clock.run(request.sources))


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


def _prepare(request: FilterRequest, opened: OpenedModel, listen: Listener) -> Prepared:
    clean = opened.clean
    model, device = clean.classifier, clean.samples.images.device
    parts = opened.split(_holdout_share(request), seed=request.seed)
    augmentation = bearable_augmentation(model, parts.fit, seed=request.seed)
    if request.sanitized is not None:
        sibling = read_sibling(request.sanitized, opened, listen)
        _check_sibling(request.sanitized, sibling, opened)
        witness = lost_classes(model, sibling.classifier)
        detector = calibrate(witness, parts, request.samples)
        return Prepared(opened, parts, augmentation, None, sibling, detector)
    with seeded(request.seed, device):
        exposed = expose(
            model,
            parts,
            request.samples,
            request.unlearn,
            augmentation=augmentation,
            seed=request.seed,
            listen=listen,
        )
    witness = kept_classes(model, exposed.stops)
    detector = calibrate(witness, parts, request.samples)
    return Prepared(opened, parts, augmentation, exposed, None, detector)


def _check_sibling(file: Path, sibling: Sibling, opened: OpenedModel) -> None:
    """Refuse a file that is no sanitized one of the model: it would clear everything.

    What another tool has made cannot be told; its answers differ from the model's.
    """
    model = opened.checkpoint.state_dict
    same = all(
        torch.equal(tensor, model[name])
        for name, tensor in sibling.checkpoint.state_dict.items()
        if name in model
    )
    if same:
        raise InputRefused(
            f"{plain(file.name)} holds the model's own weights, so that nothing "
            "would be suspect.",
            hint="Give the file that rnp sanitize made of it; where that changed "
            "nothing, leave --sanitized out.",
        )


def _holdout_share(request: FilterRequest) -> float:
    if request.holdout_share is not None:
        return request.holdout_share
    return 0.5 if request.sanitized is None else DefenseConfig().holdout_share


def _score(
    request: FilterRequest,
    prepared: Prepared,
    quarantine: Quarantine | None,
    listen: Listener,
) -> Tally:
    """Judge file after file; write, and put aside, as soon as it is known."""
    clean = prepared.opened.clean
    tally = Tally(clean.num_classes)
    listen(StageStarted(stage=STAGE))
    with ExitStack() as stack:
        stack.enter_context(_telling_what_was_taken(request, quarantine))
        write: Take | None = None
        if request.output is not None:
            rows_to = _rows_to(request.output, request, quarantine)
            write = stack.enter_context(rows_to)
        for path, row in _rows(request, prepared, tally):
            counted = listed = row
            try:
                if quarantine is not None and row.suspect:
                    quarantine.take(path)
            except NotTaken as error:
                why = f"is suspect, but could not be put aside: {error.why}"
                counted = SuspectRow(file=row.file, error=why)
                listed = row.model_copy(update={"error": why})
            finally:  # what has moved is listed, even when Ctrl-C comes right then
                tally.count(counted)
                if write is not None:
                    write(listed)
            if tally.scored % BATCH == 0:
                listen(StepDone(stage=STAGE, step=tally.scored))
    counts = tally.counts()
    summary = f"{counts.suspect:,} of {counts.scored:,} images are suspect"
    listen(StageDone(stage=STAGE, summary=summary))
    return tally


@contextmanager
def _telling_what_was_taken(
    request: FilterRequest, quarantine: Quarantine | None
) -> Iterator[None]:
    """Add to whatever breaks the work off how many files are in the quarantine."""
    try:
        yield
    except BaseException as error:
        if quarantine is not None and quarantine.taken:
            done = "moved" if request.move else "copied"
            folder = plain(str(request.quarantine))
            error.add_note(f"Files {done} to {folder} before that: {quarantine.taken}.")
        raise


@contextmanager
def _rows_to(
    output: Path, request: FilterRequest, quarantine: Quarantine | None
) -> Iterator[Take]:
    """Give what writes a row to the output.

    Where files have moved, a list that is broken off is kept: nothing else says what
    they were.
    """
    form = _row_format(output)
    broken_off: BaseException | None = None
    with writing(output, force=request.force) as write:
        write(form.head)
        before = ""

        def take(row: SuspectRow) -> None:
            nonlocal before
            write(before + form.row(row))
            before = form.between

        try:
            yield take
        except BaseException as error:
            if quarantine is None or not (request.move and quarantine.taken):
                raise
            broken_off = error
        write(form.tail)
    if broken_off is not None:
        broken_off.add_note(f"{plain(str(output))} lists the files judged until then.")
        raise broken_off


def _rows(
    request: FilterRequest, prepared: Prepared, tally: Tally
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
    rate = max(request.fpr, detector.least_rate)
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
