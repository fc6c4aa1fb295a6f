"""From what the stages found to the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from rnp_cli._version import __version__
from rnp_cli.architectures import Architecture
from rnp_cli.checkpoints import Checkpoint
from rnp_cli.data.load import CleanSamples
from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.channels import ChannelLayer, has_batchnorm
from rnp_cli.defense.rank import RankedChannel
from rnp_cli.defense.rnp import Defended
from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import clean_accuracy
from rnp_cli.defense.threshold import Threshold
from rnp_cli.defense.unlearn import Unlearned
from rnp_cli.device import describe
from rnp_cli.evidence.label import label_evidence
from rnp_cli.pipeline.request import ModelRequest, SanitizeRequest
from rnp_cli.report import schema
from rnp_cli.report.plain import plain

_NEXT = 20  # channels beyond the pruned ones that the report names
_INSIDE = "network."  # where the classifier keeps the checkpoint's network


class Names:
    """The checkpoint's names of the parameters and layers of the classifier."""

    def __init__(self, key_map: Mapping[str, str]) -> None:
        self._checkpoint_name = {ours: theirs for theirs, ours in key_map.items()}

    def of(self, parameter: str) -> str:
        """Return the checkpoint's name of a parameter."""
        return self._checkpoint_name[parameter.removeprefix(_INSIDE)]

    def of_layer(self, layer: str) -> str:
        """Return the checkpoint's name of a layer that has a weight."""
        return self.of(f"{layer}.weight").removesuffix(".weight")


def make_report(
    request: SanitizeRequest,
    checkpoint: Checkpoint,
    architecture: Architecture,
    clean: CleanSamples,
    parts: SplitSamples,
    defended: Defended,
    run: schema.RunInfo,
) -> schema.Report:
    """Measure before and after, and put everything into one record."""
    names = Names(architecture.key_map)
    threshold = defended.threshold
    mask = threshold.mask if isinstance(threshold, Threshold) else None
    evidence = label_evidence(defended.unlearned.model, clean.samples)
    before, after = clean.classifier, defended.model
    return schema.Report(
        tool_version=__version__,
        torch_version=torch.__version__,
        device=describe(parts.fit.images.device),
        seed=request.seed,
        outcome="no-safe-threshold" if mask is None else "pruned",
        model=model_info(request, checkpoint, architecture, defended.layers),
        input=input_info(clean),
        samples=sample_info(request, clean, parts, defended.augmentation),
        accuracy_before=accuracy(before, clean.samples),
        accuracy_after=accuracy(after, clean.samples),
        holdout_before=accuracy(before, parts.holdout),
        holdout_after=accuracy(after, parts.holdout),
        max_accuracy_drop=request.defense.threshold.max_accuracy_drop,
        target=schema.TargetInfo(
            target=evidence.target, share=evidence.share, shares=evidence.shares
        ),
        unlearn=unlearn_info(defended.unlearned),
        recover=defended.masks.history,
        threshold=mask,
        path=tuple(
            schema.PathPoint(pruned=c.pruned, clean_accuracy=c.clean_accuracy)
            for c in threshold.path
        ),
        pruned=_ranked(defended.pruned, names),
        next_in_rank=_ranked(defended.ranked[len(defended.pruned) :][:_NEXT], names),
        output=None,
        not_checked=tuple(_not_checked(request, architecture, defended)),
        settings=request.defense.model_dump(),
        run=run,
    )


def _ranked(
    ranked: Iterable[RankedChannel], names: Names
) -> tuple[schema.RankedChannel, ...]:
    return tuple(
        schema.RankedChannel(
            rank=r.rank,
            layer=names.of_layer(r.channel.layer),
            channel=r.channel.index,
            mask=r.mask,
            score=r.change,
        )
        for r in ranked
    )


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


def _not_checked(
    request: SanitizeRequest, architecture: Architecture, defended: Defended
) -> list[str]:
    notes = [
        "The attack success rate: no triggered image is known, so none was measured. "
        "That channels were pruned does not prove that the backdoor is gone.",
        "Whether the model has a backdoor at all: pruning was done in any case.",
        "Accuracy on images that had no part in the choice: the number of channels was "
        "chosen on these samples, and the intervals cover the sampling of images only.",
    ]
    if request.labels == "from-model":
        notes.append(
            "The labels: they are the model's own predictions, so that clean "
            "accuracy means agreement with the original model."
        )
    if architecture.matched_by == "order":
        notes.append(
            "The architecture by name: it was recognized by the order of its "
            "tensors' shapes, and by the clean accuracy that it gives."
        )
    if architecture.matched_by == "graph" and not has_batchnorm(defended.layers):
        notes.append(
            "Whether BatchNorm was folded into the convolutions: the ONNX graph has "
            "none, as exporters make it by default, and without it backdoors are "
            "found less well. Prefer the PyTorch file, or an export that keeps it "
            "(training=TrainingMode.PRESERVE)."
        )
    return notes
