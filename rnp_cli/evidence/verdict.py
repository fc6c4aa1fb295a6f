"""Verdict: is there a backdoor, of which kind, and to which class.

Two witnesses. The first is trigger inversion: how far the logarithm of the smallest
trigger lies below those of the other classes, in standard deviations of those others.
(Neural Cleanse, Wang et al., S&P 2019, measures masks themselves against the median of
all absolute deviations, which says little with ten classes.) Each family of triggers is
asked, and the one that says most is heard, its p-value times their number (Bonferroni).
The second is unlearning: the share of new mistakes that one class draws. It
does not ask what a trigger looks like, but several targets hide one another. A class is
held against both (Fisher's method), so that either alone can convict it.

The null is computed, for as many classes as the model has: sizes from a normal
distribution with the spread of this model's triggers; mistakes, as many as were
counted, with shares from a Dirichlet distribution as concentrated as is usual in clean
models.
That the witnesses err independently of each other is an assumption.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rnp_cli.evidence.label import LabelEvidence
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.triggers import FAMILIES, Family

Level = Literal["none", "weak", "strong"]
LEVELS: tuple[Level, ...] = ("none", "weak", "strong")
Kind = Literal["all-to-one", "all-to-all"]
_DRAWS = 200_000
FEW = 5  # triggers; with two, none has others that differ among themselves
_LEAST_FOUND = 2  # a trigger is small beside others, or not at all


class VerdictConfig(BaseModel):
    """From which p-value evidence counts, and what is usual in clean models."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weak: float = Field(0.05, gt=0, lt=1)
    strong: float = Field(0.001, gt=0, lt=1)
    usual_spread: float = Field(0.3, gt=0)
    """How much the sizes of triggers differ between the classes of clean models: the
    standard deviation of their logarithms."""
    usual_classes: float = Field(3.0, gt=0)
    """How much that counts beside the spread that a model shows itself: as if it had
    been seen in so many more classes."""
    usual_concentration: float = Field(5.0, gt=0)
    """How evenly a clean model's mistakes go to all classes while it unlearns: the
    total concentration of a Dirichlet distribution; more is more evenly. With ten
    classes the largest share is .37, in the mean of two unlearnings each of six clean
    models of the project's own zoo."""


@dataclass(frozen=True)
class Verdict:
    """What the evidence says.

    target: the class that the trigger leads to; None where there is none or the kind is
    "all-to-all". The rest is of that trigger, or without one of the class that comes
    nearest. family: of its trigger that is smallest beside the others'; index: how far
    below them. p_inversion: of so small a trigger in any family, under the null.
    p_label: of so large a share of new mistakes; None where they say nothing, as of
    "all-to-all". p_value: of both.
    """

    level: Level
    kind: Kind | None
    target: int | None
    family: Family
    index: float
    p_inversion: float
    p_label: float | None
    p_value: float


def judge(
    triggers: Sequence[RecoveredTrigger],
    label: LabelEvidence | None,
    config: VerdictConfig,
    *,
    seed: int,
) -> Verdict:
    """Weigh the triggers, one per class and one without a class, and the label.

    triggers: none where they were not sought; then the label speaks alone.
    label: None where unlearning says nothing of this network. A class for which no
    trigger was found says nothing about how small one can be, and is left out; only
    where nearly all are such, they count as the largest there is, if they are overlays:
    a mask over everything would reach any class. With few triggers to
    compare the spread between them is assumed rather than measured, and their evidence
    is weak at best.
    """
    by_family = {family: _of(triggers, family) for family in FAMILIES}
    weighed = {
        family: _weigh_sizes(some, family, config, seed)
        for family, some in by_family.items()
        if some
    }
    drawn = None if label is None else _weigh_mistakes(label, config, seed)
    classes = sorted({t.target for t in triggers if t.target is not None})
    if not triggers and label is not None:
        classes = [*range(len(label.shares))]
    judged = [_all_to_one(target, weighed, drawn, config) for target in classes]
    for family, sizes in weighed.items():
        judged += _all_to_all(by_family[family], family, sizes, config)
    if not judged:
        return Verdict("none", None, None, "overlay", 0.0, 1.0, None, 1.0)
    chosen = min(judged, key=lambda verdict: (verdict.p_value, -verdict.index))
    if chosen.level == "none":
        return replace(chosen, kind=None, target=None)
    alone = 1.0 if chosen.p_label is None else _fisher(1.0, chosen.p_label)
    if weighed and weighed[chosen.family].are_few and _level(alone, config) != "strong":
        return replace(chosen, level="weak")
    return chosen


def _of(
    triggers: Sequence[RecoveredTrigger], family: Family
) -> Sequence[RecoveredTrigger]:
    return [trigger for trigger in triggers if trigger.family == family]


@dataclass(frozen=True, eq=False)
class _Sizes:
    """What a family's sizes say of each class, and how small one may be by chance.

    targets: the classes that are compared; logarithms and indices (class,) are theirs.
    null: (draw,). are_few: too few were found to measure how they differ.
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


def _weigh_sizes(
    triggers: Sequence[RecoveredTrigger],
    family: Family,
    config: VerdictConfig,
    seed: int,
) -> _Sizes:
    targets, logs = _log_sizes(triggers)
    few = len(targets) < FEW
    lone = len(targets) < _LEAST_FOUND and any(trigger.found for trigger in triggers)
    if lone and family == "overlay":
        targets, logs = _log_sizes([replace(t, found=True) for t in triggers])
    if len(targets) < _LEAST_FOUND:
        return _Sizes([], logs, logs, logs, few)
    indices, spreads = _indices(logs, config)
    spread = float(spreads[int(indices.argmax())])
    return _Sizes(targets, logs, indices, _null(len(logs), spread, config, seed), few)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The share of new mistakes of each class, and the largest by chance (draw,)."""

    shares: Sequence[float]
    null: Tensor

    def p_value(self, target: int) -> float:
        """Return how likely some class draws so large a share by chance."""
        return _tail(self.null, self.shares[target])


def _weigh_mistakes(label: LabelEvidence, config: VerdictConfig, seed: int) -> _Drawn:
    classes = len(label.shares)
    concentration = torch.full((classes,), config.usual_concentration / classes)
    with torch.random.fork_rng([]):  # neither distribution takes a generator
        torch.default_generator.manual_seed(seed)
        usual = torch.distributions.Dirichlet(concentration.double())
        shares = usual.sample((_draws(classes),))
        counts = torch.poisson(shares * label.counted)
    return _Drawn(label.shares, counts.amax(1) / counts.sum(1).clamp_min(1))


def _draws(classes: int) -> int:
    """Return how many models to draw: as many as memory allows, within reason."""
    return min(_DRAWS, 20_000_000 // classes)


def anomaly_indices(
    triggers: Sequence[RecoveredTrigger], config: VerdictConfig
) -> dict[int, float]:
    """Return by class how far its trigger lies below the others, in their spread.

    Only of classes for which a trigger was found; of none where fewer than two were.
    triggers: of one family.
    """
    targets, sizes = _log_sizes(triggers)
    if len(sizes) < _LEAST_FOUND:
        return {}
    return dict(zip(targets, _indices(sizes, config)[0].tolist(), strict=True))


def _log_sizes(triggers: Sequence[RecoveredTrigger]) -> tuple[list[int], Tensor]:
    """Return the classes with a trigger, and the logarithms of their sizes (class,)."""
    found = [(t.target, t.norm) for t in triggers if t.target is not None and t.found]
    sizes = torch.tensor([norm for _, norm in found]).double().log()
    return [target for target, _ in found], sizes


def _all_to_one(
    target: int,
    weighed: Mapping[Family, _Sizes],
    drawn: _Drawn | None,
    config: VerdictConfig,
) -> Verdict:
    """Judge a class by its triggers and by the mistakes that it draws."""
    said = {family: sizes.of(target) for family, sizes in weighed.items()}
    said = said or {"overlay": (0.0, 1.0)}
    family = min(said, key=lambda family: (said[family][1], -said[family][0]))
    index, p_family = said[family]
    p_size = min(1.0, p_family * _speaking(weighed))
    p_label = None if drawn is None else drawn.p_value(target)
    p_value = p_size if p_label is None else _fisher(p_size, p_label)
    level = _level(p_value, config)
    return Verdict(level, "all-to-one", target, family, index, p_size, p_label, p_value)


def _all_to_all(
    triggers: Sequence[RecoveredTrigger],
    family: Family,
    sizes: _Sizes,
    config: VerdictConfig,
) -> list[Verdict]:
    """Judge the trigger without a class, where it is smaller than all with one.

    It may be the smallest of several attempts, and goes to whatever class is nearest;
    the null is the smallest of all classes, which is as favoured.
    """
    logs = sizes.logarithms
    free = [math.log(t.norm) for t in triggers if t.target is None and t.found]
    if not free or not sizes.targets or free[0] >= logs.min():
        return []
    spread = _moderated(logs.var(), len(logs) - 1, config).sqrt()
    index = float((logs.mean() - free[0]) / spread)
    p_value = _tail(sizes.null, index)
    level = _level(p_value, config)
    return [Verdict(level, "all-to-all", None, family, index, p_value, None, p_value)]


def _speaking(weighed: Mapping[Family, _Sizes]) -> int:
    """Return how many families compare classes at all; one, where none does."""
    return max(1, sum(1 for sizes in weighed.values() if sizes.targets))


def _indices(values: Tensor, config: VerdictConfig) -> tuple[Tensor, Tensor]:
    """Return how far each value lies below the others, and the others' spread.

    values: (..., class). A mean of few values is uncertain itself, hence the factor.
    """
    others = values.shape[-1] - 1
    mean = (values.sum(-1, keepdim=True) - values) / others
    square = (values.square().sum(-1, keepdim=True) - values.square()) / others
    freedom = max(others - 1, 1)
    variance = (square - mean.square()).clamp_min(0) * others / freedom
    spread = _moderated(variance, others - 1, config).sqrt()
    return (mean - values) / (spread * math.sqrt(1 + 1 / others)), spread


def _moderated(variance: Tensor, freedom: int, config: VerdictConfig) -> Tensor:
    """Draw the variance of few values towards the usual one."""
    usual = config.usual_classes * config.usual_spread**2
    return (freedom * variance + usual) / (freedom + config.usual_classes)


def _null(classes: int, spread: float, config: VerdictConfig, seed: int) -> Tensor:
    """Return the largest index (draw,) of models whose sizes differ by chance alone."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(_draws(classes), classes, generator=generator).double()
    return _indices(spread * values, config)[0].amax(1)


def _tail(null: Tensor, index: float) -> float:
    """Share of the null at or beyond the index; never quite zero."""
    return (int((null >= index).sum()) + 1) / (len(null) + 1)


def _fisher(first: float, second: float) -> float:
    """Combine two p-values: chi-squared with four degrees of freedom, closed form."""
    product = first * second
    return product * (1 - math.log(product)) if product < 1 else 1.0


def _level(p_value: float, config: VerdictConfig) -> Level:
    if p_value <= config.strong:
        return "strong"
    return "weak" if p_value <= config.weak else "none"
