"""Sanitize one checkpoint, from file to file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from rnp_cli.architectures import load
from rnp_cli.data.classifier import Classifier
from rnp_cli.defense.augment import bearable_augmentation
from rnp_cli.device import reproducible, suitable_threads
from rnp_cli.events import Listener, ignore
from rnp_cli.evidence.look import look
from rnp_cli.pipeline.clock import Clock
from rnp_cli.pipeline.describe_sanitizing import make_report
from rnp_cli.pipeline.escalate import Escalation, Removal
from rnp_cli.pipeline.exporting import prepare, rehearse
from rnp_cli.pipeline.memory import within_cpu_memory, within_gpu_memory
from rnp_cli.pipeline.opening import OpenedModel, read_model, with_samples
from rnp_cli.pipeline.outputs import check_formats, check_outputs, write
from rnp_cli.pipeline.request import SanitizeRequest
from rnp_cli.pipeline.rewrite import rewrite
from rnp_cli.report.policy import judged
from rnp_cli.report.sanitization import WITHOUT_MODEL, Report

_SINGLE = torch.finfo(torch.float32).eps


@dataclass(frozen=True, eq=False)
class SanitizeResult:
    """The report, the sanitized tensors by the checkpoint's names, and the files.

    state_dict is None where the model could not be made safe; then only the report is
    written.
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
    check_formats(request, read.checkpoint)
    with reproducible():
        opened = with_samples(read, request, clock)
        image = opened.clean.samples.images[:1]
        with suitable_threads(opened.clean.classifier, image):
            rehearse(request, opened, clock)
            model = opened.working()
            request = within_cpu_memory(request, model, image, clock)
            work = partial(
                _sanitize, opened=opened, model=model, outputs=outputs, clock=clock
            )
            return within_gpu_memory(work, request, clock)


def _sanitize(
    request: SanitizeRequest,
    opened: OpenedModel,
    model: Classifier,
    outputs: tuple[Path, ...],
    clock: Clock,
) -> SanitizeResult:
    parts = opened.split(request.defense.holdout_share, seed=request.seed)
    augmentation = bearable_augmentation(model, parts.fit, seed=request.seed)
    evidence = look(
        model,
        parts,
        request.defense.unlearn,
        request.evidence,
        augmentation=augmentation,
        seed=request.seed,
        listen=clock,
    )
    escalation = Escalation(
        model,
        parts,
        augmentation,
        evidence,
        request.defense,
        request.evidence,
        request.seed,
        clock,
    )
    removal = _remove(escalation, request)
    tensors = rewrite(
        opened.checkpoint.state_dict,
        opened.architecture,
        opened.clean.classifier,
        removal.model,
    )
    written = _as_written(opened, tensors, removal)
    report = make_report(
        request,
        opened,
        parts,
        augmentation,
        evidence,
        escalation.judge_written(removal, written),
        written,
        clock.run(request.sources),
    )
    report = judged(report, request.policy, request.accepted)
    if report.outcome in WITHOUT_MODEL:
        paths = write(request, outputs, report, {}, clock)
        return SanitizeResult(report, None, paths)
    exported = prepare(request, opened, tensors, written, removal, clock)
    report = exported.noted_in(report)
    report = report.model_copy(update={"run": clock.run(request.sources)})
    paths = write(request, outputs, report, exported.models, clock)
    return SanitizeResult(report, tensors, paths)


def _remove(escalation: Escalation, request: SanitizeRequest) -> Removal:
    """Change what the evidence and the request ask for."""
    is_suspect = escalation.evidence.verdict.level != "none"
    if not is_suspect and request.when == "evidence":
        return Removal("unchanged", escalation.model)
    if is_suspect and request.method != "rnp":
        return escalation.remove(request.method)
    return escalation.prune_within_budget()


def _as_written(
    opened: OpenedModel, tensors: dict[str, Tensor], removal: Removal
) -> Classifier:
    """Return the network of the tensors to be written; check that it is the one made.

    Only what the checkpoint keeps in less than single precision is rounded.
    """
    clean = opened.clean
    again = Classifier(load(opened.architecture, tensors), clean.spec)
    again = again.to(clean.samples.images.device).eval()
    share = max(
        torch.finfo(tensor.dtype).eps
        for tensor in tensors.values()
        if tensor.is_floating_point()
    )
    share = share if share > _SINGLE else 0.0
    kept = again.state_dict()
    for name, made in removal.model.state_dict().items():
        if not torch.allclose(kept[name], made, rtol=share, atol=share**2):
            raise RuntimeError("the sanitized tensors differ from the model made")
    return again
