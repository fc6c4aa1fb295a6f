"""Sanitize one checkpoint, from file to file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rnp_cli.architectures import Architecture, load
from rnp_cli.data.classifier import Classifier
from rnp_cli.data.load import CleanSamples
from rnp_cli.defense.rnp import Defended, defend
from rnp_cli.defense.score import logits_of
from rnp_cli.device import reproducible, suitable_threads
from rnp_cli.events import Listener, ignore
from rnp_cli.export.safetensors import tensors_sha256
from rnp_cli.pipeline.clock import Clock
from rnp_cli.pipeline.cut import cut
from rnp_cli.pipeline.describe import make_report
from rnp_cli.pipeline.opening import read_model, with_samples
from rnp_cli.pipeline.outputs import (
    SanitizedModel,
    check_format,
    check_outputs,
    write,
)
from rnp_cli.pipeline.request import SanitizeRequest
from rnp_cli.report.plain import plain
from rnp_cli.report.schema import OutputInfo, Report


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
    clock = Clock(listen)
    outputs = check_outputs(request)
    read = read_model(request, clock)
    checkpoint = read.checkpoint
    check_format(request, checkpoint)
    with reproducible():
        opened = with_samples(read, request, clock)
        architecture, clean = opened.architecture, opened.clean
        with suitable_threads(clean.classifier, clean.samples.images[:1]):
            parts = opened.split(request.defense.holdout_share, seed=request.seed)
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
