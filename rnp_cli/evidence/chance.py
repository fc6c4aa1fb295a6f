"""Chance: how small a trigger, how wide a margin, how many mistakes clean models show.

The nulls that the verdict holds its witnesses against. They are computed, for as many
classes as the model has: sizes of triggers and margins from a normal distribution of
their logarithms, with the spread of this model's own; mistakes, as many as were
counted, with shares from a Dirichlet distribution as concentrated as is usual in clean
models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rnp_cli.evidence.label import LabelEvidence
from rnp_cli.evidence.margin import Margins
from rnp_cli.evidence.recovered import RecoveredTrigger

FEW = 5  # triggers; with two, none has others that differ among themselves
_DRAWS = 200_000
_LEAST_FOUND = 2  # a trigger is small beside others, or not at all
_NARROWEST = 0.5  # of the median margin; what is narrower must not hide what is wide


class UsualConfig(BaseModel):
    """What is usual in clean models."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    usual_spread: float = Field(0.3, gt=0)
    """How much the sizes of triggers differ between the classes of clean models: the
    standard deviation of their logarithms."""
    usual_classes: float = Field(3.0, gt=0)
    """How much that counts beside the spread that a model shows itself: as if it had
    been seen in so many more classes."""
    usual_margin_spread: float = Field(0.2, gt=0)
    """The same of the maximum margins of classes: .05 to .31 in fourteen clean
    networks."""
    usual_margin_classes: float = Field(9.0, gt=0)
    """How much that counts: those networks differ among themselves by so little more
    than chance explains."""
    usual_concentration: float = Field(3.0, gt=0)
    """How evenly a clean model's mistakes go to all classes while it unlearns: the
    total concentration of a Dirichlet distribution; more is more evenly. With ten
    classes the largest share is .46 in the mean. Clean networks of the project's own
    and other people's showed .26 to .75 in the mean of three unlearnings, the deep and
    narrow ones the most: it is a habit of theirs, which more unlearnings do not
    change."""


@dataclass(frozen=True)
class _Usual:
    """A spread, and in how many classes it was seen, as it were."""

    spread: float
    classes: float

    def moderate(self, variance: Tensor, freedom: int) -> Tensor:
        """Draw the variance of few values towards the usual one."""
        usual = self.classes * self.spread**2
        return (freedom * variance + usual) / (freedom + self.classes)


def _of_sizes(config: UsualConfig) -> _Usual:
    return _Usual(config.usual_spread, config.usual_classes)


@dataclass(frozen=True, eq=False)
class Sizes:
    """What one family's triggers, or margins, say of each class, and what is chance.

    targets: the classes that are compared; logarithms and indices (class,) are theirs.
    null: the largest index (draw,). are_few: too few were found to measure how they
    differ.
    """

    targets: Sequence[int]
    logarithms: Tensor
    indices: Tensor
    null: Tensor
    are_few: bool

    def of(self, target: int) -> tuple[float, float]:
        """Return the index and its p-value of a class; nothing where none was found."""
        if target not in self.targets:
            return 0.0, 1.0
        index = float(self.indices[self.targets.index(target)])
        return index, _tail(self.null, index)

    def of_free(self, size: float, config: UsualConfig) -> tuple[float, float] | None:
        """Return the same of a trigger without a class; None where it is no smaller.

        It may be the smallest of several attempts, and goes to whatever class is
        nearest; the null is the smallest of all classes, which is as favoured.
        """
        logs = self.logarithms
        if not self.targets or math.log(size) >= logs.min():
            return None
        spread = _of_sizes(config).moderate(logs.var(), len(logs) - 1).sqrt()
        index = float((logs.mean() - math.log(size)) / spread)
        return index, _tail(self.null, index)


def weigh_sizes(
    triggers: Sequence[RecoveredTrigger],
    config: UsualConfig,
    *,
    is_bounded: bool,
    seed: int,
) -> Sizes:
    """Compare the triggers of one family, one per class.

    is_bounded: a class for which none was found could be reached by the largest there
    is. Where nearly all are such, they count as that; else they are left out.
    """
    targets, logs = _log_sizes(triggers)
    few = len(targets) < FEW
    lone = len(targets) < _LEAST_FOUND and any(trigger.found for trigger in triggers)
    if lone and is_bounded:
        targets, logs = _log_sizes([replace(t, found=True) for t in triggers])
    return _compared(targets, logs, _of_sizes(config), are_few=few, seed=seed)


def weigh_margins(margins: Margins, config: UsualConfig, *, seed: int) -> Sizes:
    """Compare the maximum margins of classes: a wide one stands out as a small trigger.

    A class that no input reaches is left out; of few, none is compared.
    """
    both = zip(margins.targets, margins.values, strict=True)
    found = {target: value for target, value in both if value > 0}
    few = len(found) < FEW
    targets = [] if few else [*found]
    values = torch.tensor([found[target] for target in targets]).double()
    least = _NARROWEST * values.median() if targets else 0.0
    logs = -values.clamp_min(least).log()
    usual = _Usual(config.usual_margin_spread, config.usual_margin_classes)
    return _compared(targets, logs, usual, are_few=few, seed=seed)


@dataclass(frozen=True, eq=False)
class Drawn:
    """The share of new mistakes of each class, and the largest by chance (draw,)."""

    shares: Sequence[float]
    null: Tensor

    def p_value(self, target: int) -> float:
        """Return how likely some class draws so large a share by chance."""
        return _tail(self.null, self.shares[target])


def weigh_mistakes(label: LabelEvidence, config: UsualConfig, *, seed: int) -> Drawn:
    """Compare the shares of the classes."""
    classes = len(label.shares)
    concentration = torch.full((classes,), config.usual_concentration / classes)
    with torch.random.fork_rng([]):  # neither distribution takes a generator
        torch.default_generator.manual_seed(seed)
        usual = torch.distributions.Dirichlet(concentration.double())
        shares = usual.sample((_draws(classes),))
        counts = torch.poisson(shares * label.counted)
    return Drawn(label.shares, counts.amax(1) / counts.sum(1).clamp_min(1))


def anomaly_indices(
    triggers: Sequence[RecoveredTrigger], config: UsualConfig
) -> dict[int, float]:
    """Return by class how far its trigger lies below the others, in their spread.

    Only of classes for which a trigger was found; of none where fewer than two were.
    triggers: of one family.
    """
    targets, sizes = _log_sizes(triggers)
    if len(sizes) < _LEAST_FOUND:
        return {}
    indices = _indices(sizes, _of_sizes(config))
    return dict(zip(targets, indices.tolist(), strict=True))


def _compared(
    targets: list[int], logs: Tensor, usual: _Usual, *, are_few: bool, seed: int
) -> Sizes:
    """Hold each logarithm against the others; nothing is compared with one alone.

    By chance all of them differ as much as they do, the one that stands out, too; few
    cannot tell, and differ as is usual.
    """
    if len(targets) < _LEAST_FOUND:
        return Sizes([], logs, logs, logs, are_few)
    freedom = 0 if are_few else len(logs) - 1
    spread = float(usual.moderate(logs.var(), freedom).sqrt())
    null = _null(len(logs), spread, usual, seed)
    return Sizes(targets, logs, _indices(logs, usual), null, are_few)


def _draws(classes: int) -> int:
    """Return how many models to draw: as many as memory allows, within reason."""
    return min(_DRAWS, 20_000_000 // classes)


def _log_sizes(triggers: Sequence[RecoveredTrigger]) -> tuple[list[int], Tensor]:
    """Return the classes with a trigger, and the logarithms of their sizes (class,)."""
    found = [(t.target, t.norm) for t in triggers if t.target is not None and t.found]
    sizes = torch.tensor([norm for _, norm in found]).double().log()
    return [target for target, _ in found], sizes


def _indices(values: Tensor, usual: _Usual) -> Tensor:
    """Return how far each value lies below the others, in the others' spread.

    values: (..., class). A mean of few values is uncertain itself, hence the factor.
    """
    others = values.shape[-1] - 1
    mean = (values.sum(-1, keepdim=True) - values) / others
    square = (values.square().sum(-1, keepdim=True) - values.square()) / others
    freedom = max(others - 1, 1)
    variance = (square - mean.square()).clamp_min(0) * others / freedom
    spread = usual.moderate(variance, others - 1).sqrt()
    return (mean - values) / (spread * math.sqrt(1 + 1 / others))


def _null(classes: int, spread: float, usual: _Usual, seed: int) -> Tensor:
    """Return the largest index (draw,) of models whose sizes differ by chance alone."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(_draws(classes), classes, generator=generator).double()
    return _indices(spread * values, usual).amax(1)


def _tail(null: Tensor, index: float) -> float:
    """Share of the null at or beyond the index; never quite zero."""
    return (int((null >= index).sum()) + 1) / (len(null) + 1)
