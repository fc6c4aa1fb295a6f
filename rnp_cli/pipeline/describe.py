"""From what was run on what to the parts that all reports have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import nn

from rnp_cli.architectures import Architecture
from rnp_cli.checkpoints import Checkpoint
from rnp_cli.data.load import CleanSamples
from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.channels import ChannelLayer
from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import clean_accuracy
from rnp_cli.defense.unlearn import Unlearned
from rnp_cli.errors import DefenseFailed
from rnp_cli.evidence.chance import FEW
from rnp_cli.evidence.config import EvidenceConfig
from rnp_cli.evidence.label import LabelEvidence
from rnp_cli.evidence.look import Evidence
from rnp_cli.evidence.margin import Margins
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.verdict import Verdict
from rnp_cli.pipeline.opening import Sibling
from rnp_cli.pipeline.request import ModelRequest
from rnp_cli.report import schema
from rnp_cli.report.detection import MarginInfo, TriggerInfo, VerdictInfo
from rnp_cli.report.plain import plain


def accuracy(model: nn.Module, samples: Samples) -> schema.Accuracy:
    """Measure clean accuracy, with its interval."""
    return schema.Accuracy.of(clean_accuracy(model, samples), len(samples))


def model_info(
    request: ModelRequest,
    checkpoint: Checkpoint,
    architecture: Architecture,
    layers: Iterable[ChannelLayer],
) -> schema.ModelInfo:
    """Say what the checkpoint is and was taken for."""
    return schema.ModelInfo(
        file=plain(request.model.name),
        sha256=checkpoint.sha256,
        format=checkpoint.format,
        wrapper=checkpoint.wrapper,
        prefix=checkpoint.prefix,
        dropped=checkpoint.dropped,
        findings=checkpoint.findings,
        architecture=architecture.name,
        matched_by=architecture.matched_by,
        parameters=sum(t.numel() for t in checkpoint.state_dict.values()),
        channels=sum(layer.channels for layer in layers),
    )


def sample_info(
    request: ModelRequest,
    clean: CleanSamples,
    parts: SplitSamples,
    augmentation: Augmentation,
) -> schema.SampleInfo:
    """Say what the clean samples are and how they were used."""
    return schema.SampleInfo(
        count=len(clean.samples),
        sha256=clean.sha256,
        fit=len(parts.fit),
        holdout=len(parts.holdout),
        num_classes=clean.num_classes,
        class_names=tuple(map(plain, clean.class_names)),
        labels=request.labels,
        crop_padding=augmentation.crop_padding,
        flip=augmentation.flip,
    )


def input_info(clean: CleanSamples) -> schema.InputInfo:
    """Say how images were fed."""
    spec = clean.spec
    return schema.InputInfo(
        channels=spec.channels,
        size=spec.size,
        fit=spec.fit,
        convention=spec.convention.name,
        scale=spec.convention.scale,
        mean=spec.convention.mean,
        std=spec.convention.std,
        output=spec.output,
    )


def doubts(clean: CleanSamples) -> Iterator[str]:
    """Say where the input that was given is clearly not the one that fits best."""
    if clean.better is not None:
        yield (
            "Whether the images are fed as the network takes them: as --range, --mean "
            f"and --std say, it is right on {clean.clean_accuracy:.1%} of them, and on "
            f"{clean.better.accuracy:.1%} fed as {clean.better.convention}, which is "
            "found where these options are left out. A network that is fed wrongly "
            "can hide a backdoor."
        )


def unlearn_info(unlearned: Unlearned) -> schema.UnlearnInfo:
    """Say how the clean skill went."""
    return schema.UnlearnInfo(
        floor=unlearned.floor,
        epochs=tuple(
            schema.UnlearnEpoch(
                clean_accuracy=epoch.clean_accuracy,
                loss=epoch.loss,
                learning_rate=epoch.learning_rate,
                mistaken=epoch.mistaken,
            )
            for epoch in unlearned.history
        ),
        backoffs=unlearned.backoffs,
    )


def label_info(label: LabelEvidence | None) -> schema.TargetInfo | None:
    """Say which class an unlearned model favors."""
    if label is None:
        return None
    return schema.TargetInfo(
        target=label.target,
        share=label.share,
        shares=label.shares,
        unlearnings=label.unlearnings,
    )


def verdict_info(verdict: Verdict) -> VerdictInfo:
    """Say what the evidence comes to."""
    return VerdictInfo(
        level=verdict.level,
        kind=verdict.kind,
        target=verdict.target,
        source=verdict.source,
        family=verdict.family,
        index=verdict.index,
        p_inversion=verdict.p_inversion,
        p_label=verdict.p_label,
        p_margin=verdict.p_margin,
        p_value=verdict.p_value,
    )


def trigger_info(trigger: RecoveredTrigger) -> TriggerInfo:
    """Say how large a trigger is, and how well it works."""
    return TriggerInfo(
        target=trigger.target,
        source=trigger.source,
        family=trigger.family,
        norm=trigger.norm,
        success=trigger.success,
        found=trigger.found,
    )


def margin_infos(margins: Margins | None) -> tuple[MarginInfo, ...]:
    """Say how far inputs lead each class."""
    if margins is None:
        return ()
    both = zip(margins.targets, margins.values, strict=True)
    return tuple(MarginInfo(target=target, margin=value) for target, value in both)


def pair_infos(evidence: Evidence) -> tuple[TriggerInfo, ...]:
    """Say how large triggers are that lead from the suspected class, if it is one."""
    if evidence.verdict.source is None:
        return ()
    return tuple(map(trigger_info, evidence.suspected))


def unheard(
    config: EvidenceConfig, num_classes: int, evidence: Evidence
) -> Iterator[str]:
    """Say which classes were not searched, and which witness could not speak."""
    most = config.most_classes
    if num_classes > most:
        chosen = "those that draw the most mistakes" if evidence.label else "the first"
        yield (
            f"{num_classes - most} of {num_classes} classes: triggers were recovered "
            f"for {most}, {chosen}."
        )
    if isinstance(evidence.unlearned, DefenseFailed):
        yield "Where mistakes go while unlearning: it did not come to its end."
    elif evidence.label is None:
        missed = "that work on one class only, or restyle an image, may be missed"
        if evidence.pairs:
            missed = "that restyle an image may be missed, and of those that work on "
            missed += "one class only all but patches"
        yield (
            "Where mistakes go while unlearning: that says nothing without BatchNorm, "
            "with few classes, or where the way down begins with a leap. So triggers "
            f"{missed}."
        )
    if num_classes < FEW:
        yield (
            f"How much masks differ without a backdoor: {num_classes} classes cannot "
            "tell, so that the evidence counts as weak at best."
        )


def unlearned_info(
    unlearned: Unlearned | DefenseFailed,
) -> tuple[schema.UnlearnInfo | None, str | None]:
    """Say how the clean skill went, or why it did not."""
    if isinstance(unlearned, DefenseFailed):
        return None, unlearned.message
    return unlearn_info(unlearned), None


def sanitized_info(
    file: Path | None, sibling: Sibling | None, clean: CleanSamples
) -> schema.SanitizedInfo | None:
    """Name the sanitized file, and how good it is, where there is one."""
    if file is None or sibling is None:
        return None
    return schema.SanitizedInfo(
        file=plain(file.name),
        sha256=sibling.checkpoint.sha256,
        format=sibling.checkpoint.format,
        findings=sibling.checkpoint.findings,
        accuracy=accuracy(sibling.classifier, clean.samples),
    )
