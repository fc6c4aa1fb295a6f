"""Contest: which drawings lead to a class as none leads to others, without gradients.

A repair unlearns the triggers that were found, the smallest, which are speckles, or
faint noise. What the attacker drew may work on, and no gradient leads there any more:
fitting against what gradients find bends the gradients (Athalye et al., ICML 2018). So
squares (``evidence/squares.py``) and waves (``evidence/waves.py``) are simply tried.
Those that lead best to a class are then changed a little, as long as they lead there
better. What one of them does to a class is held against what others do to the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import logits_of
from rnp_cli.evidence.recovered import RecoveredTrigger, estimated_success, to_turn
from rnp_cli.evidence.squares import squares_in_corners, squares_near
from rnp_cli.evidence.triggers import Change
from rnp_cli.evidence.waves import waves

_CHANGED = 4  # drawings for each class, of those that lead there best
_CHANGES = 3  # how often each is changed, at most
_TRIED = 2  # times as many images as at first show whether a change is better
_HELD = 150  # samples that the best are tried on, at most
_RIVALS = 5  # other classes that these are held against, the likeliest
_AT_ONCE = 256  # images
_LOG = 0.02  # what a logarithm counts beside the share that is turned
_LEAST_LOG = -10.0  # or else one sample's would outweigh all shares


class Drawing(Protocol):
    """What can be tried: it is hashable, and equal where it looks the same."""

    @property
    def size(self) -> float:
        """Return its size, in the unit of the family that it is of."""

    def lay_on(self, images: Tensor) -> Tensor:
        """Put it on images (batch, channel, height, width) in [0, 1]."""

    def as_change(self, shape: Sequence[int]) -> Change:
        """Return it as a change of images of this shape (channel, height, width)."""

    def neighbours(self) -> Sequence[Drawing]:
        """Return those that differ from it a little."""


def squares_left(
    model: nn.Module,
    samples: SplitSamples,
    extent: Tensor,
    target: int,
    *,
    source: int | None,
    images_each: int,
    seed: int,
) -> tuple[RecoveredTrigger, ...]:
    """Return the squares that lead to the target, if they do so as nothing else does.

    Of each side, near the patch and in corners, the best, as ``_Contest.winner`` says.
    extent: (1, height, width), of the patch that they lie near. images_each: that a
    square is tried on at first; the best for each class are tried on more.
    """
    contest = _contest(model, samples, target, source, images_each, seed)
    channels, height, width = samples.fit.images.shape[1:]
    found = [
        contest.winner([square for square in squares if square.side == side])
        for squares in (
            squares_near(extent, channels),
            squares_in_corners(height, width, channels),
        )
        for side in sorted({square.side for square in squares})
    ]
    return tuple(winner for winner in found if winner is not None)


def wave_followed(
    model: nn.Module,
    samples: SplitSamples,
    target: int,
    *,
    source: int | None,
    images_each: int,
    seed: int,
) -> RecoveredTrigger | None:
    """Return the wave that leads to the target, if it does so as nothing else does.

    As ``squares_left``; what a wave does to a class is held against all other waves.
    """
    contest = _contest(model, samples, target, source, images_each, seed)
    return contest.winner(waves(*samples.fit.images.shape[2:]))


def _contest(
    model: nn.Module,
    samples: SplitSamples,
    target: int,
    source: int | None,
    images_each: int,
    seed: int,
) -> _Contest:
    trying = _drawn(samples.fit, source, _TRIED * images_each, seed)
    held = _drawn(samples.holdout, source, _HELD, seed)
    of_others = held.take(to_turn(model, held, target, source))
    first = trying.take(torch.arange(min(images_each, len(trying))))
    by_itself = 0.0
    if len(of_others):
        says = logits_of(model, of_others.images).argmax(1)
        by_itself = (says == target).float().mean().item()
    return _Contest(
        model,
        first,
        trying,
        held,
        target,
        source,
        count=len(of_others),
        by_itself=by_itself,
    )


@dataclass(frozen=True, eq=False)
class _Contest:
    """Whether drawings lead to the target as none of them leads anywhere else.

    first: samples that each is tried on. trying: that its changes are. held: that the
    best are, none of which the others were fitted to; ``count`` of them are to be
    turned. by_itself: the share of these that the model calls the target as they are.
    """

    model: nn.Module
    first: Samples
    trying: Samples
    held: Samples
    target: int
    source: int | None
    count: int
    by_itself: float

    def winner(self, drawings: Sequence[Drawing]) -> RecoveredTrigger | None:
        """Return the target's best of these, if no rival has one nearly as good.

        It has to turn more of the samples held out to the target, by two standard
        errors, than any of them turns to the likeliest other classes, and than the
        model calls so by itself; at least two.
        """
        if not self.count or not len(self.trying) or not drawings:
            return None
        leads = _leads(self.model, self.first, drawings)  # (drawing, class)
        best = leads.topk(min(_CHANGED, len(drawings)), 0)

        def reached(goal: int) -> RecoveredTrigger:
            some = [drawings[number] for number in best.indices[:, goal].tolist()]
            some = _changed(self.model, self.trying, some, goal)
            return max((self._held(drawing, goal) for drawing in some), key=_success)

        own = reached(self.target)
        if not self._stands_out(own, self.by_itself):
            return None
        likeliest = best.values[0].argsort(descending=True).tolist()
        rivals = [goal for goal in likeliest if goal not in (self.target, self.source)]
        stands_out = all(
            self._stands_out(own, reached(goal).success) for goal in rivals[:_RIVALS]
        )
        return own if stands_out else None

    def _stands_out(self, own: RecoveredTrigger, usual: float) -> bool:
        return own.success > _clearly_above(usual, self.count)

    def _held(self, drawing: Drawing, goal: int) -> RecoveredTrigger:
        """Return it as a trigger for the goal, with what it turns of those held out."""
        trigger = RecoveredTrigger(
            target=goal,
            change=drawing.as_change(self.held.images.shape[1:]),
            norm=drawing.size,
            success=0.0,
            found=True,
            source=self.source,
        )
        success = estimated_success(self.model, trigger, self.held)
        return replace(trigger, success=success)


def _success(trigger: RecoveredTrigger) -> float:
    return trigger.success


def _changed(
    model: nn.Module, samples: Samples, drawings: list[Drawing], goal: int
) -> list[Drawing]:
    """Change each a little as long as that leads better; return the best first."""
    known: dict[Drawing, float] = {}

    def best_of(some: Iterable[Drawing]) -> list[Drawing]:
        new = [drawing for drawing in dict.fromkeys(some) if drawing not in known]
        if new:
            leads = _leads(model, samples, new)[:, goal].tolist()
            known.update(zip(new, leads, strict=True))
        return sorted(known, key=known.__getitem__, reverse=True)[: len(drawings)]

    best = best_of(drawings)
    for _ in range(_CHANGES):
        before = best
        best = best_of(other for drawing in before for other in drawing.neighbours())
        if best == before:
            break
    return best


def _clearly_above(share: float, count: int) -> float:
    """Return what is two standard errors above a share of so many, or 1.5 samples.

    The error is that of one more that is turned, and one that is not, or else there
    would be none where none is turned (after Agresti and Coull, 1998).
    """
    likely = (share * count + 1) / (count + 2)
    error = math.sqrt(likely * (1 - likely) / (count + 2))
    return share + max(2 * error, 1.5 / max(1, count))


def _drawn(samples: Samples, source: int | None, most: int, seed: int) -> Samples:
    """Draw some samples of the source, or of all."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(samples), generator=generator)
    if source is not None:
        order = order[(samples.labels.cpu() == source)[order]]
    return samples.take(order[:most])


def _leads(model: nn.Module, samples: Samples, drawings: Sequence[Drawing]) -> Tensor:
    """Return how far each leads the samples to each class (drawing, class).

    The share that it turns of samples of others, and a little of the mean logarithm of
    what the model gives the class, which grows before any is turned.
    """
    at_once = max(1, _AT_ONCE // len(samples))
    parts = [drawings[i : i + at_once] for i in range(0, len(drawings), at_once)]
    return torch.cat([_lead(model, samples, part) for part in parts])


def _lead(model: nn.Module, samples: Samples, drawings: Sequence[Drawing]) -> Tensor:
    stamped = torch.cat([drawing.lay_on(samples.images) for drawing in drawings])
    says = logits_of(model, stamped).log_softmax(1).clamp_min(_LEAST_LOG)
    turned = F.one_hot(says.argmax(1), says.shape[1])
    leads = (turned + _LOG * says).view(len(drawings), len(samples), -1)
    is_own = F.one_hot(samples.labels, says.shape[1]).bool()
    return leads.masked_fill(is_own, 0).sum(1) / (~is_own).sum(0).clamp_min(1)
