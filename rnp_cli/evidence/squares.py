"""Squares: patches of one colour, tried one after another, without gradients.

A repair unlearns the triggers that were found, the smallest, which are speckles. What
the attacker drew may work on, and no gradient leads there any more: fitting against
what gradients find bends them (Athalye et al., ICML 2018). So opaque squares of the
eight extreme colours are simply tried, at every place near the patch that was found. A
class that one of them leads to is held against what any of them does to the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of
from rnp_cli.evidence.recovered import RecoveredTrigger, estimated_success
from rnp_cli.evidence.triggers.overlay import Overlay

_SIDES = (1 / 11, 1 / 8, 1 / 5)  # of the shorter side of an image
_NEARBY = 1 / 16  # of it, around what is visible of the patch
_VISIBLE = 0.3  # of the strongest pixel of a mask
_MOST = 2048  # squares; where the places are more, some are left out
_VERIFIED = 4  # squares for each class, of those that lead there best
_SAMPLES = 100  # that these are tried on
_AT_ONCE = 32  # squares


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
    reach = max(1, round(_NEARBY * shorter))
    visible = (extent > _VISIBLE * extent.max()).float()
    near = F.max_pool2d(visible, 2 * reach + 1, stride=1, padding=reach)[0]
    rows, columns = near.any(1).nonzero()[:, 0], near.any(0).nonzero()[:, 0]
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    bottom, right = int(rows[-1]) + 1, int(columns[-1]) + 1
    sides = sorted({max(1, round(share * shorter)) for share in _SIDES})
    for step in range(max(1, round(shorter / 32)), shorter):
        squares = [
            Square(y, x, side, colour)
            for side in sides
            for y in range(top, bottom + 1 - side, step)
            for x in range(left, right + 1 - side, step)
            for colour in product((0.0, 1.0), repeat=channels)
        ]
        if len(squares) <= _MOST:
            break
    return squares


def squares_left(
    model: nn.Module,
    samples: Samples,
    extent: Tensor,
    target: int,
    *,
    source: int | None,
    images_each: int,
    least: float,
    seed: int,
) -> tuple[RecoveredTrigger, ...]:
    """Return the squares that lead to the target, if they do so as nothing else does.

    They turn more than the share ``least`` of the samples to it, and more than any of
    them turns to any other class.
    extent: (1, height, width), of the patch that they lie near. images_each: that a
    square is tried on at first; the best for each class are tried on more.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(samples), generator=generator)
    if source is not None:
        chosen = chosen[(samples.labels.cpu() == source)[chosen]]
    few, more = samples.take(chosen[:images_each]), samples.take(chosen[:_SAMPLES])
    squares = squares_near(extent, few.images.shape[1])
    if not squares or not len(few):
        return ()
    leads = torch.cat(
        [
            _leads(model, few, squares[first : first + _AT_ONCE])
            for first in range(0, len(squares), _AT_ONCE)
        ]
    )
    found = [
        _verified(model, more, [squares[i] for i in best.tolist()], goal, source)
        for goal, best in enumerate(leads.topk(min(_VERIFIED, len(squares)), 0)[1].T)
        if goal != source
    ]
    usual = max(t.success for some in found for t in some if t.target != target)
    bound = max(usual, least)
    return tuple(
        t for some in found for t in some if t.target == target and t.success > bound
    )


def _leads(model: nn.Module, samples: Samples, squares: Sequence[Square]) -> Tensor:
    """Return how far each leads the samples to each class (square, class).

    The mean of the logarithm of what the model gives the class, over samples of others.
    """
    stamped = torch.cat([square.lay_on(samples.images) for square in squares])
    says = logits_of(model, stamped).log_softmax(1)
    says = says.view(len(squares), len(samples), -1)
    is_own = F.one_hot(samples.labels, says.shape[2]).bool()
    return says.masked_fill(is_own, 0).sum(1) / (~is_own).sum(0).clamp_min(1)


def _verified(
    model: nn.Module,
    samples: Samples,
    squares: Sequence[Square],
    target: int,
    source: int | None,
) -> list[RecoveredTrigger]:
    """Return them as triggers for the target, with what they turn of all samples."""
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
