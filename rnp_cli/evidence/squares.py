"""Squares: patches of one colour, tried one after another, without gradients.

A repair unlearns the triggers that were found, the smallest, which are speckles. What
the attacker drew may work on, and no gradient leads there any more: fitting against
what gradients find bends the gradients (Athalye et al., ICML 2018). So opaque squares
of the eight extreme colours are simply tried, at every place near the patch that was
found. A class that one of them leads to is held against what any of them does to the
others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import logits_of
from rnp_cli.evidence.recovered import RecoveredTrigger, estimated_success, to_turn
from rnp_cli.evidence.triggers.overlay import Overlay, surroundings

_SIDES = (1 / 11, 1 / 8, 1 / 5)  # of the shorter side of an image
_NEARBY = 1 / 16  # of it, around what is visible of the patch
_MOST = 2048  # squares; where the places are more, some are left out
_VERIFIED = 4  # squares for each class, of those that lead there best
_SAMPLES = 100  # that these are tried on, at most
_AT_ONCE = 256  # images
_TIE = 1e-3  # what a logarithm counts beside the share that is turned


@dataclass(frozen=True)
class Square:
    """Where one lies, and its colour, a number in [0, 1] for each channel."""

    top: int
    left: int
    side: int
    colour: tuple[float, ...]

    def lay_on(self, images: Tensor) -> Tensor:
        """Return images (batch, channel, height, width) with it on top."""
        stamped = images.clone()
        colour = torch.tensor(self.colour, device=images.device).view(-1, 1, 1)
        rows = slice(self.top, self.top + self.side)
        columns = slice(self.left, self.left + self.side)
        stamped[:, :, rows, columns] = colour
        return stamped

    def overlay(self, shape: Sequence[int]) -> Overlay:
        """Return it as a change of images of this shape (channel, height, width)."""
        pattern = self.lay_on(torch.zeros(1, *shape))[0]
        mask = replace(self, colour=(1.0,)).lay_on(torch.zeros(1, 1, *shape[1:]))[0]
        return Overlay(mask, pattern)


def squares_near(extent: Tensor, channels: int) -> list[Square]:
    """List all that lie near what is visible of a patch's extent (1, height, width)."""
    shorter = min(extent.shape[1:])
    near = surroundings(extent, _NEARBY)[0]
    rows, columns = near.any(1).nonzero()[:, 0], near.any(0).nonzero()[:, 0]
    if not len(rows):
        return []
    sides = sorted({max(1, round(share * shorter)) for share in _SIDES})
    first = max(1, round(shorter / 32))
    for step in range(first, first + shorter):
        squares = [
            Square(top, left, side, colour)
            for side in sides
            for top in _places(rows, side, extent.shape[1], step)
            for left in _places(columns, side, extent.shape[2], step)
            for colour in product((0.0, 1.0), repeat=channels)
        ]
        if len(squares) <= _MOST:
            break
    return squares


def _places(near: Tensor, side: int, size: int, step: int) -> list[int]:
    """Return where a square may begin along an axis; it fits in, or as far as it can.

    near: the pixels that it is to lie on, of so many as ``size``; the last place counts
    whatever the step.
    """
    begin, end = int(near[0]), int(near[-1]) + 1
    last = max(0, min(size - side, max(begin, end - side)))
    return sorted({*range(max(0, min(begin, last)), last + 1, step), last})


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

    They turn more of the samples held out to it, by two standard errors, than any of
    them turns to any other class; at least two samples.
    extent: (1, height, width), of the patch that they lie near. images_each: that a
    square is tried on at first; the best for each class are tried on more.
    """
    few = _drawn(samples.fit, source, images_each, seed)
    more = _drawn(samples.holdout, source, _SAMPLES, seed)
    squares = squares_near(extent, samples.fit.images.shape[1])
    if not squares or not len(few) or not len(more):
        return ()
    at_once = max(1, _AT_ONCE // len(few))
    parts = [squares[i : i + at_once] for i in range(0, len(squares), at_once)]
    leads = torch.cat([_leads(model, few, part) for part in parts])
    leading, best = leads.topk(min(_VERIFIED, len(squares)), 0)  # (square, class)

    def tried(goal: int) -> list[RecoveredTrigger]:
        some = [squares[number] for number in best[:, goal].tolist()]
        return _verified(model, more, some, goal, source)

    likeliest = leading[0].argsort(descending=True).tolist()
    count = len(to_turn(model, more, target, source))
    left, least = tried(target), _clearly_above(0.0, count)
    for goal in (g for g in likeliest if g not in (target, source)):
        left = [trigger for trigger in left if trigger.success > least]
        if not left:
            return ()
        usual = max(trigger.success for trigger in tried(goal))
        least = max(least, _clearly_above(usual, count))
    return tuple(trigger for trigger in left if trigger.success > least)


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


def _leads(model: nn.Module, samples: Samples, squares: Sequence[Square]) -> Tensor:
    """Return how far each leads the samples to each class (square, class).

    The share that it turns of samples of others; where that is equal, the mean of the
    logarithm of what the model gives the class.
    """
    stamped = torch.cat([square.lay_on(samples.images) for square in squares])
    says = logits_of(model, stamped).log_softmax(1)
    turned = F.one_hot(says.argmax(1), says.shape[1])
    leads = (turned + _TIE * says).view(len(squares), len(samples), -1)
    is_own = F.one_hot(samples.labels, says.shape[1]).bool()
    return leads.masked_fill(is_own, 0).sum(1) / (~is_own).sum(0).clamp_min(1)


def _verified(
    model: nn.Module,
    samples: Samples,
    squares: Sequence[Square],
    target: int,
    source: int | None,
) -> list[RecoveredTrigger]:
    """Return them as triggers for the target, with what they turn of the samples."""
    triggers = [
        RecoveredTrigger(
            target=target,
            change=square.overlay(samples.images.shape[1:]),
            norm=float(square.side**2),
            success=0.0,
            found=True,
            source=source,
        )
        for square in squares
    ]
    return [
        replace(trigger, success=estimated_success(model, trigger, samples))
        for trigger in triggers
    ]
