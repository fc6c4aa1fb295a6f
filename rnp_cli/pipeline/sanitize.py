"""Sanitize one checkpoint, from file to file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from rnp_cli.architectures import Architecture, identify_all, load
from rnp_cli.checkpoints import Checkpoint, read_checkpoint
from rnp_cli.data.classifier import Classifier
from rnp_cli.data.load import CleanSamples, load_clean_samples
from rnp_cli.data.shapes import Known
from rnp_cli.data.split import split
from rnp_cli.defense.rnp import Defended, defend
from rnp_cli.defense.score import logits_of
from rnp_cli.device import choose_device, reproducible, suitable_threads
from rnp_cli.events import Event, Listener, StageDone, StageStarted, ignore
from rnp_cli.export.safetensors import tensors_sha256
from rnp_cli.pipeline.cut import cut
from rnp_cli.pipeline.describe import make_report
from rnp_cli.pipeline.outputs import (
    SanitizedModel,
    check_format,
    check_outputs,
    write,
)
from rnp_cli.pipeline.request import SanitizeRequest
from rnp_cli.report.plain import plain
from rnp_cli.report.schema import OutputInfo, Report, RunInfo


@dataclass(frozen=True, eq=False)
class SanitizeResult:
    """The report, the sanitized tensors by the checkpoint's names, and the files.

    state_dict is None where no threshold was safe; then only the report is written.
    """

    report: Report
    state_dict: dict[str, Tensor] | None
    written: tuple[Path, ...]


def sanitize(request: SanitizeRequest, *, listen: Listener = ignore) -> SanitizeResult:
    """Remove the backdoor of a checkpoint; write the result where asked to.

    Raises an RnpError with its exit code for bad input, and when the defense cannot
    do its work. The checkpoint file is only read.
    """
    clock = _Clock(listen)
    outputs = check_outputs(request)
    device = choose_device(request.device)
    clock(StageStarted(stage="read"))
    checkpoint = read_checkpoint(request.model)
    check_format(request, checkpoint)
    readings = identify_all(
        checkpoint.state_dict, name=request.arch, graph=checkpoint.graph
    )
    networks = [load(r, checkpoint.state_dict).to(device) for r in readings]
    clock(StageDone(stage="read", summary=readings[0].name))
    with reproducible():
        clock(StageStarted(stage="samples"))
        clean = load_clean_samples(
            request.clean_dir,
            networks,
            Known(
                size=request.input_size or _declared_size(checkpoint),
                convention=request.convention(),
                usual_channels=readings[0].in_channels,
                usual_size=readings[0].image_size,
            ),
            labels=request.labels,
            limit=request.max_samples,
            seed=request.seed,
            device=device,
        )
        architecture = readings[clean.reading]
        clock(StageDone(stage="samples", summary=_summary(clean)))
        with suitable_threads(clean.classifier, clean.samples.images[:1]):
            parts = split(
                clean.samples,
                num_classes=clean.num_classes,
                holdout_share=request.defense.holdout_share,
                seed=request.seed,
            )
            defended = defend(
                clean.classifier,
                parts,
                request.defense,
                seed=request.seed,
                listen=clock,
            )
            sanitized = cut(
                checkpoint.state_dict,
                architecture,
                defended.model,
                defended.layers,
                [r.channel for r in defended.pruned],
            )
            _verify(architecture, sanitized, defended, clean)
            report = make_report(
                request, checkpoint, architecture, clean, parts, defended, clock.run()
            )
    if not defended.pruned:
        return SanitizeResult(report, None, write(request, outputs, report, None))
    if request.output is not None:
        digest = tensors_sha256(sanitized)
        written = OutputInfo(file=plain(request.output.name), tensors_sha256=digest)
        report = report.model_copy(update={"output": written})
    model = SanitizedModel(sanitized, checkpoint.graph)
    return SanitizeResult(report, sanitized, write(request, outputs, report, model))


class _Clock:
    """Pass events on, and remember how long each stage took."""

    def __init__(self, listen: Listener) -> None:
        self._listen = listen
        self._began = time.perf_counter()
        self._date = datetime.now(UTC)
        self._stage_began: dict[str, float] = {}
        self._stages: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        now = time.perf_counter()
        if isinstance(event, StageStarted):
            self._stage_began[event.stage] = now
        if isinstance(event, StageDone):
            self._stages[event.stage] = round(now - self._stage_began[event.stage], 3)
        self._listen(event)

    def run(self) -> RunInfo:
        return RunInfo(
            started=self._date.isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - self._began, 3),
            stages=self._stages,
        )


def _declared_size(checkpoint: Checkpoint) -> tuple[int, int] | None:
    """Return the (height, width) that the file itself asks for."""
    if checkpoint.graph is None:
        return None
    _, _, height, width = checkpoint.graph.input.shape
    return int(height or 0), int(width or 0)


def _summary(clean: CleanSamples) -> str:
    height, width = clean.spec.size
    return (
        f"{len(clean.samples)} images of {clean.num_classes} classes, fed as "
        f"{clean.spec.channels}x{height}x{width} {clean.spec.convention.name}, "
        f"clean accuracy {clean.clean_accuracy:.1%}"
    )


def _verify(
    architecture: Architecture,
    sanitized: Mapping[str, Tensor],
    defended: Defended,
    clean: CleanSamples,
) -> None:
    """Check that the tensors to be written are the model that was measured."""
    images = clean.samples.images[:32]
    again = Classifier(load(architecture, sanitized), clean.spec).to(images.device)
    if not torch.equal(logits_of(again, images), logits_of(defended.model, images)):
        raise RuntimeError("the sanitized tensors differ from the model measured")
