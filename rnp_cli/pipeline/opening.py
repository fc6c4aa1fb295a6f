"""From a checkpoint and a folder to a classifier and its clean samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from rnp_cli.architectures import Architecture, identify_all, load
from rnp_cli.checkpoints import Checkpoint, read_checkpoint
from rnp_cli.data.classifier import Classifier
from rnp_cli.data.load import CleanSamples, load_clean_samples
from rnp_cli.data.shapes import Known
from rnp_cli.data.split import split
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.device import choose_device, has_quick_bfloat16, is_small
from rnp_cli.errors import InputRefused
from rnp_cli.events import Listener, StageDone, StageStarted
from rnp_cli.pipeline.memory import no_smaller
from rnp_cli.pipeline.request import ModelRequest
from rnp_cli.report.plain import plain


@dataclass(frozen=True, eq=False)
class ReadModel:
    """A checkpoint, and the networks that it may be, on the device."""

    checkpoint: Checkpoint
    readings: Sequence[Architecture]
    networks: Sequence[nn.Module]
    device: torch.device


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A checkpoint, the network that it is, and clean samples that fit it."""

    checkpoint: Checkpoint
    architecture: Architecture
    clean: CleanSamples

    def working(self) -> Classifier:
        """Return the classifier as the stages work with it: fast where that pays.

        What is measured for a report is measured on ``clean.classifier``.
        """
        exact, images = self.clean.classifier, self.clean.samples.images[:2]
        if not has_quick_bfloat16(images.device) or is_small(exact, images[:1]):
            return exact
        try:
            hurried = exact.hurried()
            hurried(images.clone().requires_grad_(True)).sum().backward()
        except (RuntimeError, NotImplementedError):  # a `view` of another layout, say
            return exact
        hurried.zero_grad(set_to_none=True)
        return hurried

    def split(self, holdout_share: float, *, seed: int) -> SplitSamples:
        """Hold some of the clean samples out, the same share of every class."""
        return split(
            self.clean.samples,
            num_classes=self.clean.num_classes,
            holdout_share=holdout_share,
            seed=seed,
        )


@dataclass(frozen=True, eq=False)
class Sibling:
    """Another checkpoint of the same network, ready for the same clean samples."""

    checkpoint: Checkpoint
    classifier: Classifier


def read_model(request: ModelRequest, listen: Listener) -> ReadModel:
    """Read the checkpoint, inertly, and say what it may be."""
    device = choose_device(request.device)
    listen(StageStarted(stage="read"))
    checkpoint = read_checkpoint(request.model)
    readings = identify_all(
        checkpoint.state_dict, name=request.arch, graph=checkpoint.graph
    )
    networks = [load(r, checkpoint.state_dict).to(device) for r in readings]
    listen(StageDone(stage="read", summary=readings[0].name))
    return ReadModel(checkpoint, readings, networks, device)


def with_samples(
    read: ReadModel, request: ModelRequest, listen: Listener
) -> OpenedModel:
    """Load the clean samples, and find which reading and which input fit them best."""
    usual = read.readings[0]
    listen(StageStarted(stage="samples"))
    with no_smaller():
        clean = load_clean_samples(
            request.clean_dir,
            read.networks,
            Known(
                size=request.input_size or _declared_size(read.checkpoint),
                convention=request.convention(),
                usual_channels=usual.in_channels,
                usual_size=usual.image_size,
            ),
            labels=request.labels,
            limit=request.max_samples,
            seed=request.seed,
            device=read.device,
        )
    listen(StageDone(stage="samples", summary=_summary(clean)))
    return OpenedModel(read.checkpoint, read.readings[clean.reading], clean)


def read_sibling(path: Path, opened: OpenedModel, listen: Listener) -> Sibling:
    """Read other weights of a network that is open, inertly, to be fed as it is.

    Raises InputRefused where its tensors have other names or shapes.
    """
    listen(StageStarted(stage="read-sibling"))
    checkpoint = read_checkpoint(path)
    try:
        network = load(opened.architecture, checkpoint.state_dict)
    except InputRefused as refusal:
        raise InputRefused(
            f"{plain(path.name)} is not of the network that the model is. "
            f"{refusal.message}",
            hint="Give a file that was made from this model, with its tensor names.",
        ) from refusal
    device = opened.clean.samples.images.device
    classifier = Classifier(network, opened.clean.spec).to(device).eval()
    listen(StageDone(stage="read-sibling", summary=opened.architecture.name))
    return Sibling(checkpoint, classifier)


def _declared_size(checkpoint: Checkpoint) -> tuple[int, int] | None:
    """Return the (height, width) that the file itself asks for."""
    if checkpoint.graph is None:
        return None
    _, _, height, width = checkpoint.graph.input.shape
    return int(height or 0), int(width or 0)


def _summary(clean: CleanSamples) -> str:
    height, width = clean.spec.size
    better = clean.better
    warning = (
        ""
        if better is None
        else f" - fed as {better.convention} it would be {better.accuracy:.1%}"
    )
    return (
        f"{len(clean.samples)} images of {clean.num_classes} classes, fed as "
        f"{clean.spec.channels}x{height}x{width} {clean.spec.convention.name}, "
        f"clean accuracy {clean.clean_accuracy:.1%}{warning}"
    )
