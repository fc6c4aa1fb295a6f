"""Count what a run computes: images through the network, by stage and by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from rnp_cli.data.classifier import Classifier
from rnp_cli.events import Event, StageDone, StageStarted

Kind = Literal["forward", "inputs", "weights"]
"""forward: without gradients; inputs: with gradients of images, patterns or masks, not
of convolutions; weights: with gradients of everything."""
KINDS: tuple[Kind, ...] = ("forward", "inputs", "weights")
BETWEEN = "between"


class Counts:
    """Images by (stage, kind), and the stage that is at work."""

    def __init__(self) -> None:
        self.images: Counter[tuple[str, Kind]] = Counter()
        self._stage = BETWEEN

    def listen(self, event: Event) -> None:
        """Take note of where a stage begins and ends."""
        if isinstance(event, StageStarted):
            self._stage = event.stage
        if isinstance(event, StageDone):
            self._stage = BETWEEN

    def add(self, kind: Kind, images: int) -> None:
        """Count images of the stage at work."""
        self.images[self._stage, kind] += images


@contextmanager
def counting() -> Iterator[Counts]:
    """Count all that goes through any classifier meanwhile."""
    counts = Counts()
    forward = Classifier.forward

    def counted(self: Classifier, images: Tensor) -> Tensor:
        counts.add(_kind(self), len(images))
        return forward(self, images)

    Classifier.forward = counted  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        Classifier.forward = forward  # type: ignore[method-assign]


def _kind(classifier: Classifier) -> Kind:
    if not torch.is_grad_enabled():
        return "forward"
    kernels = [p for p in classifier.parameters() if p.ndim > 1]
    return "weights" if any(p.requires_grad for p in kernels) else "inputs"
