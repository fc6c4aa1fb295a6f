"""Recover the smallest triggers of one checkpoint, and write them down as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from rnp_cli._version import __version__
from rnp_cli.defense.augment import Augmentation, bearable_augmentation
from rnp_cli.defense.channels import find_channel_layers
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.unlearn import UnlearnConfig, Unlearned, unlearn_half
from rnp_cli.device import describe, reproducible, seeded, suitable_threads
from rnp_cli.errors import UsageError
from rnp_cli.events import Listener, ignore
from rnp_cli.evidence.chance import anomaly_indices
from rnp_cli.evidence.config import EvidenceConfig
from rnp_cli.evidence.inversion import goals_of, invert_each
from rnp_cli.evidence.recovered import RecoveredTrigger, estimated_success
from rnp_cli.evidence.triggers import Family
from rnp_cli.export.folder import check_folder, write_folder
from rnp_cli.pipeline.clock import Clock
from rnp_cli.pipeline.describe import (
    accuracy,
    doubts,
    input_info,
    model_info,
    sample_info,
    sanitized_info,
    unlearn_info,
)
from rnp_cli.pipeline.memory import within_cpu_memory, within_gpu_memory
from rnp_cli.pipeline.opening import (
    OpenedModel,
    Sibling,
    read_model,
    read_sibling,
    with_samples,
)
from rnp_cli.pipeline.request import ModelRequest
from rnp_cli.pipeline.trigger_files import OWN, REPORT, file_names, pictures
from rnp_cli.report.triggers import RecoveredInfo, TriggerReport


class TriggerRequest(ModelRequest):
    """Which triggers to recover, on what, and where to write them.

    family: what they do to an image: lie over a part of it, are added to all of it, or
    warp it.

    targets: classes; none means all of them, as far as there are at most
    ``evidence.most_classes``, and the trigger that turns images to any other class.
    on: the model as it is, or a copy that has unlearned half of its clean skill.
    sanitized: a file to try the triggers on, too. output: a folder, or None to write
    nothing.
    """

    targets: tuple[int, ...] = ()
    on: Literal["original", "unlearned"] = "original"
    sanitized: Path | None = None
    output: Path | None = None
    force: bool = False
    family: Family = "overlay"
    holdout_share: float = Field(0.3, gt=0, lt=1)
    unlearn: UnlearnConfig = UnlearnConfig()
    evidence: EvidenceConfig = EvidenceConfig()


@dataclass(frozen=True, eq=False)
class _Recovered:
    """The triggers, and where they come from and were tried."""

    augmentation: Augmentation
    unlearned: Unlearned | None
    sibling: Sibling | None
    triggers: tuple[RecoveredTrigger, ...]


def recover_triggers(
    request: TriggerRequest, *, listen: Listener = ignore
) -> TriggerReport:
    """Recover triggers, estimate their success, and write a folder where asked to.

    Departure from the paper (its use of the unlearned model for trigger recovery): with
    ``on="unlearned"`` the model is inverted half way down, where it still knows its
    classes. At the end of unlearning clean images go to the target without a trigger,
    and any mask will do.

    Raises an RnpError with its exit code for bad input.
    """
    clock = Clock(listen)
    if request.output is not None:
        check_folder(request.output, own=OWN, force=request.force)
    read = read_model(request, clock)
    with reproducible():
        opened = with_samples(read, request, clock)
        targets = _targets(request, opened.clean.num_classes)
        image = opened.clean.samples.images[:1]
        with suitable_threads(opened.clean.classifier, image):
            model = opened.working()
            request = within_cpu_memory(request, model, image, clock)
            parts = opened.split(request.holdout_share, seed=request.seed)

            def work(asked: TriggerRequest) -> tuple[TriggerRequest, _Recovered]:
                return asked, _recover(opened, model, parts, targets, asked, clock)

            request, recovered = within_gpu_memory(work, request, clock)
            report = _report(request, opened, parts, recovered, clock)
            if request.output is not None:
                files = pictures(recovered.triggers, opened.clean, parts.holdout)
                _write(request.output, files, report, force=request.force)
    return report


def _targets(request: TriggerRequest, num_classes: int) -> Sequence[int | None]:
    if not request.targets:
        if num_classes > request.evidence.most_classes:
            raise UsageError(
                f"The model has {num_classes} classes, too many to look at all.",
                hint="Name some with --target; `rnp detect` says which are suspect.",
            )
        return [*range(num_classes), None]
    for target in request.targets:
        if not 0 <= target < num_classes:
            raise UsageError(
                f"There is no class {target}: the model has {num_classes}, "
                f"0 to {num_classes - 1}."
            )
    return sorted(set(request.targets))


def _recover(
    opened: OpenedModel,
    model: nn.Module,
    parts: SplitSamples,
    targets: Sequence[int | None],
    request: TriggerRequest,
    listen: Listener,
) -> _Recovered:
    sibling = None
    if request.sanitized is not None:
        sibling = read_sibling(request.sanitized, opened, listen)
    augmentation, unlearned = Augmentation(), None
    if request.on == "unlearned":
        augmentation = bearable_augmentation(model, parts.fit, seed=request.seed)
        unlearned = _unlearn(model, parts, augmentation, request, listen)
    triggers = invert_each(
        model if unlearned is None else unlearned.model,
        parts,
        request.evidence.inversion,
        goals_of(targets, request.family),
        seed=request.seed,
        listen=listen,
    )
    return _Recovered(augmentation, unlearned, sibling, triggers)


def _unlearn(
    model: nn.Module,
    parts: SplitSamples,
    augmentation: Augmentation,
    request: TriggerRequest,
    listen: Listener,
) -> Unlearned:
    device = parts.fit.images.device
    with seeded(request.seed, device):
        return unlearn_half(
            model,
            parts,
            request.unlearn,
            augmentation=augmentation,
            seed=request.seed,
            listen=listen,
        )


def _report(
    request: TriggerRequest,
    opened: OpenedModel,
    parts: SplitSamples,
    recovered: _Recovered,
    clock: Clock,
) -> TriggerReport:
    clean, unlearned = opened.clean, recovered.unlearned
    layers = find_channel_layers(clean.classifier, parts.fit.images[:2])
    return TriggerReport(
        tool_version=__version__,
        torch_version=torch.__version__,
        device=describe(parts.fit.images.device),
        seed=request.seed,
        inverted_on=request.on,
        family=request.family,
        model=model_info(request, opened.checkpoint, opened.architecture, layers),
        sanitized=sanitized_info(request.sanitized, recovered.sibling, opened.clean),
        input=input_info(clean),
        samples=sample_info(request, clean, parts, recovered.augmentation),
        accuracy=accuracy(clean.classifier, clean.samples),
        unlearn=None if unlearned is None else unlearn_info(unlearned),
        triggers=tuple(_measured(request, opened, parts, recovered)),
        not_checked=(*doubts(clean), *_not_checked(request)),
        settings=_settings(request),
        run=clock.run(request.sources),
    )


def _settings(request: TriggerRequest) -> dict[str, Any]:
    """Return what was read of the settings."""
    unread: dict[str, Any] = {
        "closing": True,
        "unlearnings": True,
        "most_paired": True,
        "margin": True,
        "verdict": {
            *("weak", "strong", "usual_concentration"),
            *("usual_margin_spread", "usual_margin_classes"),
        },
    }
    settings = request.evidence.model_dump(exclude=unread)
    if request.on == "unlearned":
        settings["unlearn"] = request.unlearn.model_dump()
    return settings


def _measured(
    request: TriggerRequest,
    opened: OpenedModel,
    parts: SplitSamples,
    recovered: _Recovered,
) -> Iterator[RecoveredInfo]:
    """Try each trigger on the models as they are, whatever it was searched on."""
    indices = anomaly_indices(recovered.triggers, request.evidence.verdict)
    model, sibling, holdout = (
        opened.clean.classifier,
        recovered.sibling,
        parts.holdout,
    )
    for trigger in recovered.triggers:
        target = trigger.target
        after = None
        if sibling is not None:
            after = estimated_success(sibling.classifier, trigger, holdout)
        yield RecoveredInfo(
            target=target,
            found=trigger.found,
            norm=trigger.norm,
            index=None if target is None else indices.get(target),
            images=int((holdout.labels != (-1 if target is None else target)).sum()),
            success_where_found=trigger.success,
            estimated_success=estimated_success(model, trigger, holdout),
            estimated_success_sanitized=after,
            files=file_names(trigger),
        )


def _not_checked(request: TriggerRequest) -> list[str]:
    notes = [
        "The attack success rate: no triggered image is known. What is called success "
        "is that of the recovered trigger, an estimate; the attacker's own may do "
        "better.",
        "Triggers that work on images of one class only, and those of other families "
        f'than "{request.family}".',
    ]
    if request.sanitized is not None:
        notes.append(
            "Triggers of the sanitized file's own: those of the model were tried on it."
        )
    if request.targets:
        notes.append("Other classes than those asked for: an index compares these.")
    if request.labels == "from-model":
        notes.append("The labels: they are the model's own predictions.")
    return notes


def _write(
    folder: Path, files: Mapping[str, bytes], report: TriggerReport, *, force: bool
) -> None:
    data = report.model_dump_json(indent=2).encode() + b"\n"
    write_folder(folder, {**files, REPORT: data}, own=OWN, force=force)
