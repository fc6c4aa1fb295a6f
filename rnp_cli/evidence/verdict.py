"""Verdict: is there a backdoor, of which kind, and to which class.

Two witnesses. The first is trigger inversion: how far the logarithm of the smallest
mask lies below those of the other classes, in standard deviations of those others.
(Neural Cleanse, Wang et al., S&P 2019, measures masks themselves against the median of
all absolute deviations, which says little with ten classes.) The second is unlearning:
the place of that class among the classes that mistakes go to. Each is wrong on some
real models; together they are seldom.

The null is computed, not looked up: the index of as many classes as the model has,
drawn from a normal distribution with the spread of this model's masks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rnp_cli.evidence.inversion import RecoveredTrigger
from rnp_cli.evidence.label import LabelEvidence

Level = Literal["none", "weak", "strong"]
Kind = Literal["all-to-one", "all-to-all"]
_DRAWS = 20_000
_FEW = 5  # masks; with two, none has others that differ among themselves
_LEAST_FOUND = 2  # a mask is small beside others, or not at all


class VerdictConfig(BaseModel):
    """From which p-value evidence counts, and how small a spread is believed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weak: float = Field(0.05, gt=0, lt=1)
    strong: float = Field(0.001, gt=0, lt=1)
    usual_spread: float = Field(0.3, gt=0)
    """Of the logarithm of mask sizes between the classes of clean models."""
    usual_classes: float = Field(3.0, gt=0)
    """How many classes' worth of evidence the usual spread is."""


@dataclass(frozen=True)
class Verdict:
    """What the evidence says.

    target: the class that the trigger leads to; None where there is none or the kind is
    "all-to-all". index: the anomaly index. p_inversion: of so small a mask under the
    null. p_label: of the target's place among the mistakes of the unlearned model; None
    where there is no such evidence. p_value: of both (Fisher's method).
    """

    level: Level
    kind: Kind | None
    target: int | None
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

    A class for which no trigger was found says nothing about how small a mask can be,
    and is left out; only where nearly all are such, they count as the whole image.
    With few masks to compare the spread between them is assumed rather than measured,
    and the evidence is weak at best.
    """
    if not any(trigger.found for trigger in triggers):
        return Verdict("none", None, None, 0.0, 1.0, None, 1.0)
    targets, masks = _log_masks(triggers)
    few = len(masks) < _FEW
    if len(masks) < _LEAST_FOUND:
        targets, masks = _log_masks([replace(t, found=True) for t in triggers])
    indices, spreads = _indices(masks, config)
    best = int(indices.argmax())
    target, index = targets[best], float(indices[best])
    null = _null(len(masks), float(spreads[best]), config, seed)
    p_one = _tail(null, index)
    p_label = None if label is None else _place(label, target)
    p_both = p_one if p_label is None else _fisher(p_one, p_label)
    one = Verdict(
        level=_level(p_both, config),
        kind="all-to-one",
        target=target,
        index=index,
        p_inversion=p_one,
        p_label=p_label,
        p_value=p_both,
    )
    every = _every_class(triggers, masks, null, config)
    chosen = every if every is not None and every.p_value < one.p_value else one
    if chosen.level == "none":
        return Verdict("none", None, None, index, p_one, p_label, chosen.p_value)
    return replace(chosen, level="weak") if few else chosen


def anomaly_indices(
    triggers: Sequence[RecoveredTrigger], config: VerdictConfig
) -> dict[int, float]:
    """Return by class how far its mask lies below the others, in their spread.

    Only of classes for which a trigger was found; of none where fewer than two were.
    """
    targets, masks = _log_masks(triggers)
    if len(masks) < _LEAST_FOUND:
        return {}
    return dict(zip(targets, _indices(masks, config)[0].tolist(), strict=True))


def _log_masks(triggers: Sequence[RecoveredTrigger]) -> tuple[list[int], Tensor]:
    """Return the classes with a trigger, and the logarithms of their masks (class,)."""
    found = [(t.target, t.norm) for t in triggers if t.target is not None and t.found]
    masks = torch.tensor([norm for _, norm in found]).double().log()
    return [target for target, _ in found], masks


def _every_class(
    triggers: Sequence[RecoveredTrigger],
    masks: Tensor,
    null: Tensor,
    config: VerdictConfig,
) -> Verdict | None:
    """Judge the trigger without a class, where it is smaller than all with one."""
    free = [trigger for trigger in triggers if trigger.target is None]
    if not free or not free[0].found or math.log(free[0].norm) >= masks.min():
        return None
    spread = _moderated(masks.var(), len(masks) - 1, config).sqrt()
    index = float((masks.mean() - math.log(free[0].norm)) / spread)
    p_value = _tail(null, index)
    level = _level(p_value, config)
    return Verdict(level, "all-to-all", None, index, p_value, None, p_value)


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
    """Return the largest index (draw,) of models whose masks differ by chance alone."""
    generator = torch.Generator().manual_seed(seed)
    draws = min(_DRAWS, 20_000_000 // classes)
    values = torch.randn(draws, classes, generator=generator).double()
    return _indices(spread * values, config)[0].amax(1)


def _tail(null: Tensor, index: float) -> float:
    """Share of the null at or beyond the index; never quite zero."""
    return (int((null >= index).sum()) + 1) / (len(null) + 1)


def _place(label: LabelEvidence, target: int) -> float:
    """Share of the classes that draw as many mistakes as the target, or more."""
    reached = sum(share >= label.shares[target] for share in label.shares)
    return reached / len(label.shares)


def _fisher(first: float, second: float) -> float:
    """Combine two p-values: chi-squared with four degrees of freedom, closed form."""
    product = first * second
    return product * (1 - math.log(product)) if product < 1 else 1.0


def _level(p_value: float, config: VerdictConfig) -> Level:
    if p_value <= config.strong:
        return "strong"
    return "weak" if p_value <= config.weak else "none"
