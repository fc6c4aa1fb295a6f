"""Count what a run computes: images through the network, by stage and by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from rnp_cli.data.classifier import Classifier
from rnp_cli.device import Replayed
from rnp_cli.events import Event, StageDone, StageStarted

Kind = Literal["forward", "inputs", "weights"]
"""forward: without gradients; inputs: with gradients of images, patterns or masks, not
of convolutions; weights: with gradients of everything."""
KINDS: tuple[Kind, ...] = ("forward", "inputs", "weights")
BETWEEN = "between"
Passed = tuple[str, Kind]


class Counts:
    """Images by (stage, kind), and the stage that is at work."""

    def __init__(self) -> None:
        self.images: Counter[Passed] = Counter()
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

    def repeat(
        self, work: Callable[[], None], known: Counter[Passed]
    ) -> Counter[Passed]:
        """Do the work; return what it passed through, or count what is known of it.

        A GPU that replays its work calls no network that could be counted.
        """
        before = self.images.copy()
        work()
        passed = self.images - before
        if passed:
            return passed
        self.images += known
        return known


@contextmanager
def counting() -> Iterator[Counts]:
    """Count all that goes through any classifier meanwhile."""
    counts = Counts()
    forward = Classifier.forward

    def counted(self: Classifier, images: Tensor) -> Tensor:
        counts.add(_kind(self), len(images))
        return forward(self, images)

    call = Replayed.__call__
    known: WeakKeyDictionary[Replayed, Counter[Passed]] = WeakKeyDictionary()

    def repeated(self: Replayed) -> None:
        work = partial(call, self)
        known[self] = counts.repeat(work, known.get(self, Counter()))

    Classifier.forward = counted  # type: ignore[method-assign]
    Replayed.__call__ = repeated  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        Classifier.forward = forward  # type: ignore[method-assign]
        Replayed.__call__ = call  # type: ignore[method-assign]


def _kind(classifier: Classifier) -> Kind:
    if not torch.is_grad_enabled():
        return "forward"
    kernels = [p for p in classifier.parameters() if p.ndim > 1]
    return "weights" if any(p.requires_grad for p in kernels) else "inputs"
