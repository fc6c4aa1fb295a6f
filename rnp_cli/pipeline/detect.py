"""Look for a backdoor in one checkpoint, and change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import Field

from rnp_cli._version import __version__
from rnp_cli.defense.augment import Augmentation, bearable_augmentation
from rnp_cli.defense.channels import ChannelLayer, find_channel_layers
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.unlearn import UnlearnConfig, Unlearned, unlearn
from rnp_cli.device import describe, reproducible, seeded, suitable_threads
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Listener, ignore
from rnp_cli.evidence.inversion import (
    InversionConfig,
    RecoveredTrigger,
    invert_triggers,
)
from rnp_cli.evidence.label import LabelEvidence, path_evidence
from rnp_cli.evidence.verdict import Verdict, VerdictConfig, judge
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
from rnp_cli.report.detection import Detection, TriggerInfo, VerdictInfo
from rnp_cli.report.schema import TargetInfo


class DetectRequest(ModelRequest):
    """Where to look, and how hard.

    most_classes: triggers are recovered for at most so many classes, those first that
    the unlearned model points at.
    """

    holdout_share: float = Field(0.3, gt=0, lt=1)
    most_classes: int = Field(50, ge=2)
    unlearn: UnlearnConfig = UnlearnConfig()
    inversion: InversionConfig = InversionConfig()
    verdict: VerdictConfig = VerdictConfig()


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the two witnesses say. unlearned: or why it could not be."""

    layers: tuple[ChannelLayer, ...]
    unlearned: Unlearned | DefenseFailed
    label: LabelEvidence | None
    triggers: tuple[RecoveredTrigger, ...]
    verdict: Verdict


def detect(request: DetectRequest, *, listen: Listener = ignore) -> Detection:
    """Say whether there is evidence of a backdoor, and of which.

    Raises an RnpError with its exit code for bad input, and DefenseFailed when neither
    witness has anything to say. Nothing is written.
    """
    clock = Clock(listen)
    read = read_model(request, clock)
    with reproducible():
        opened = with_samples(read, request, clock)
        clean = opened.clean
        with suitable_threads(clean.classifier, clean.samples.images[:1]):
            parts = opened.split(request.holdout_share, seed=request.seed)
            augmentation = bearable_augmentation(
                clean.classifier, parts.fit, seed=request.seed
            )
            evidence = _gather(opened, parts, augmentation, request, clock)
            return _detection(request, opened, parts, augmentation, evidence, clock)


def _gather(
    opened: OpenedModel,
    parts: SplitSamples,
    augmentation: Augmentation,
    request: DetectRequest,
    listen: Listener,
) -> Evidence:
    model, device = opened.clean.classifier, parts.fit.images.device
    layers = find_channel_layers(model, parts.fit.images[:2])
    with seeded(request.seed, device):
        unlearned = _unlearn(opened, parts, augmentation, request, listen)
    label = None
    if isinstance(unlearned, Unlearned):
        label = path_evidence(unlearned, layers, opened.clean.samples)
    targets = _suspects(opened.clean.num_classes, label, request.most_classes)
    triggers = invert_triggers(
        model,
        parts,
        request.inversion,
        targets=[*targets, None],
        seed=request.seed,
        listen=listen,
    )
    if isinstance(unlearned, DefenseFailed) and not any(t.found for t in triggers):
        raise unlearned  # neither witness has anything to say
    verdict = judge(triggers, label, request.verdict, seed=request.seed)
    return Evidence(layers, unlearned, label, triggers, verdict)


def _unlearn(
    opened: OpenedModel,
    parts: SplitSamples,
    augmentation: Augmentation,
    request: DetectRequest,
    listen: Listener,
) -> Unlearned | DefenseFailed:
    try:
        return unlearn(
            opened.clean.classifier,
            parts,
            request.unlearn,
            augmentation=augmentation,
            seed=request.seed,
            listen=listen,
        )
    except DefenseFailed as failure:  # the other witness may still speak
        return failure


def _suspects(
    num_classes: int, label: LabelEvidence | None, most: int
) -> Sequence[int]:
    if num_classes <= most:
        return range(num_classes)
    shares = torch.tensor(label.shares if label else [0.0] * num_classes)
    return sorted(shares.argsort(descending=True, stable=True)[:most].tolist())


def _detection(
    request: DetectRequest,
    opened: OpenedModel,
    parts: SplitSamples,
    augmentation: Augmentation,
    evidence: Evidence,
    clock: Clock,
) -> Detection:
    clean, unlearned, verdict = opened.clean, evidence.unlearned, evidence.verdict
    label = evidence.label
    return Detection(
        tool_version=__version__,
        torch_version=torch.__version__,
        device=describe(parts.fit.images.device),
        seed=request.seed,
        verdict=VerdictInfo(
            level=verdict.level,
            kind=verdict.kind,
            target=verdict.target,
            index=verdict.index,
            p_inversion=verdict.p_inversion,
            p_label=verdict.p_label,
            p_value=verdict.p_value,
        ),
        model=model_info(
            request, opened.checkpoint, opened.architecture, evidence.layers
        ),
        input=input_info(clean),
        samples=sample_info(request, clean, parts, augmentation),
        accuracy=accuracy(clean.classifier, clean.samples),
        label=None
        if label is None
        else TargetInfo(target=label.target, share=label.share, shares=label.shares),
        unlearn=None
        if isinstance(unlearned, DefenseFailed)
        else unlearn_info(unlearned),
        unlearn_failure=unlearned.message
        if isinstance(unlearned, DefenseFailed)
        else None,
        triggers=tuple(
            TriggerInfo(target=t.target, norm=t.norm, success=t.success, found=t.found)
            for t in evidence.triggers
        ),
        not_checked=tuple(_not_checked(request, clean.num_classes, evidence)),
        settings={
            "unlearn": request.unlearn.model_dump(),
            "inversion": request.inversion.model_dump(),
            "verdict": request.verdict.model_dump(),
        },
        run=clock.run(),
    )


def _not_checked(
    request: DetectRequest, num_classes: int, evidence: Evidence
) -> list[str]:
    failed = isinstance(evidence.unlearned, DefenseFailed)
    notes = [
        "Triggers that neither show as a pattern laid over any image nor draw mistakes "
        "while the model unlearns. No evidence is not proof that there is no backdoor.",
        "The attack success rate: no triggered image is known. What is called success "
        "here is that of the recovered trigger, an estimate.",
    ]
    if num_classes > request.most_classes:
        chosen = "those that draw the most mistakes" if evidence.label else "the first"
        notes.append(
            f"{num_classes - request.most_classes} of {num_classes} classes: triggers "
            f"were recovered for {request.most_classes}, {chosen}."
        )
    if failed:
        notes.append("Where mistakes go while unlearning: it did not come to its end.")
    elif evidence.label is None:
        notes.append(
            "Where mistakes go while unlearning: that says nothing without BatchNorm, "
            "with few classes, or where the way down begins with a leap. So triggers "
            "that warp an image, or work on one class only, are missed."
        )
    if num_classes < 5:
        notes.append(
            f"How much masks differ without a backdoor: {num_classes} classes cannot "
            "tell, so that the evidence counts as weak at best."
        )
    if request.labels == "from-model":
        notes.append("The labels: they are the model's own predictions.")
    return notes
