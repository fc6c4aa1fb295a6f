"""Pairs: triggers that lead from one class to one other, beside those of all pairs.

A backdoor may work on the images of one class alone. Where mistakes while unlearning
tell nothing of a network (``evidence/label.py``), nothing else shows it: a mask that
has to turn the other classes, too, is as large as any. So a mask is sought for each
pair. (K-Arm, Shen et al., ICML 2021, searches pairs, too, the promising ones first.)

Masks differ between pairs of a clean network: some classes are left easily, some are
reached easily, and some are near each other. The first two are fitted, a factor for
each class; the third is measured, as the mean margin between the two logits on clean
images, and its exponent is fitted, from nothing to proportion (a backdoor narrows its
own margin, which must not explain it). What lies far below the fit is evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import logits_of
from rnp_cli.evidence.chance import FEW
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.search import Goal
from rnp_cli.evidence.verdict import Verdict, VerdictConfig, level_of

_FEWEST_FITTED, _FEWEST_HELD_OUT = 8, 5  # images of each class
_FREEDOM = 6  # of a t distribution, fitted to 630 pairs of 7 clean networks
_WIDTH = 0.88  # of the same, beside the spread
_LEAST_SPREAD = 0.1  # of the residuals; clean networks showed .11 to .17
_TUNED = 1.5  # spreads beyond which a residual weighs less (Huber)
_FITS = 40  # repetitions until the weights have settled
_LEAST_MARGIN = 1e-3  # of logits; no logarithm of zero
_NOTHING = 1e-12  # no division by zero where all classes are equally near


@dataclass(frozen=True, eq=False)
class Pairs:
    """A trigger for each pair, and how near the classes are: (source, target) leads.

    Both are of the model as it came; triggers may be replaced by newer ones.
    """

    triggers: tuple[RecoveredTrigger, ...]
    leads: Tensor

    @property
    def are_comparable(self) -> bool:
        """Whether enough of them have a trigger for a fit to leave something."""
        least = max(2 * self._fitted, len(self.triggers) / 2)
        return len(self._found) >= least

    @property
    def _found(self) -> list[RecoveredTrigger]:
        return [trigger for trigger in self.triggers if trigger.found]

    @property
    def _fitted(self) -> int:
        """Return how many numbers are fitted: factors and exponent, less one."""
        return 2 * len(self.leads)

    def judge(self, config: VerdictConfig) -> Verdict | None:
        """Say whether one pair's trigger is far smaller than such a pair's should be.

        index of the verdict: how far it lies below the fit, in the residuals' spread.
        Returns None where too few pairs have a trigger to compare.
        """
        if not self.are_comparable:
            return None
        found = self._found
        residuals, spread = _fit(found, self.leads)
        spread *= math.sqrt(len(found) / (len(found) - self._fitted))
        lowest = int(residuals.argmin())
        index = float(-residuals[lowest] / spread)
        p_value = 1 - (1 - _tail(index / _WIDTH)) ** len(found)
        level, pair = level_of(p_value, config), found[lowest]
        is_told = level != "none"
        return Verdict(
            level=level,
            kind="one-to-one" if is_told else None,
            target=pair.target if is_told else None,
            family=pair.family,
            index=index,
            p_inversion=p_value,
            p_label=None,
            p_value=p_value,
            source=pair.source if is_told else None,
        )


def pairs_of(samples: SplitSamples) -> tuple[Goal, ...]:
    """Return a goal from each class to each other; none where too little is known.

    A class needs some images of its own, and a fit some classes.
    """
    fitted, held_out = (
        int(torch.bincount(part.labels.cpu(), minlength=samples.num_classes).min())
        for part in (samples.fit, samples.holdout)
    )
    if samples.num_classes < FEW:
        return ()
    if fitted < _FEWEST_FITTED or held_out < _FEWEST_HELD_OUT:
        return ()
    classes = range(samples.num_classes)
    return tuple(
        Goal(target, source=source)
        for source in classes
        for target in classes
        if target != source
    )


def leads_of(model: nn.Module, samples: Samples) -> Tensor:
    """Return by how much logits of a class lead over each other's: (class, class)."""
    logits = logits_of(model, samples.images).double().cpu()
    labels = samples.labels.cpu()
    own = logits.gather(1, labels[:, None])
    lead = (own - logits).clamp_min(0)
    sums = torch.zeros(logits.shape[1], logits.shape[1], dtype=torch.double)
    sums.index_add_(0, labels, lead)
    counts = torch.bincount(labels, minlength=logits.shape[1]).clamp_min(1)
    means: Tensor = (sums / counts[:, None]).clamp_min(_LEAST_MARGIN)
    return means


def _fit(triggers: Sequence[RecoveredTrigger], leads: Tensor) -> tuple[Tensor, float]:
    """Return what a robust fit leaves of the logarithms of sizes (pair,), its spread.

    Outliers weigh little in it, so that a backdoor stands out and is not fitted.
    """
    classes = len(leads)
    sources = torch.tensor([t.source for t in triggers])
    targets = torch.tensor([t.target for t in triggers])
    sizes = torch.tensor([t.norm for t in triggers]).double().log()
    nearness = leads[sources, targets].log()
    factors = [nn.functional.one_hot(some, classes) for some in (sources, targets)]
    known = torch.cat(factors, dim=1).double()
    weights = torch.ones_like(sizes)
    residuals, spread = sizes, 1.0
    for _ in range(_FITS):
        away = _without(known, torch.stack([sizes, nearness], dim=1), weights)
        both = (weights * away[:, 0] * away[:, 1]).sum()
        squares = (weights * away[:, 1].square()).sum().clamp_min(_NOTHING)
        exponent = (both / squares).clamp(0, 1)
        residuals = away[:, 0] - exponent * away[:, 1]
        spread = max(1.4826 * float(residuals.abs().median()), _LEAST_SPREAD)
        weights = 1 / (residuals.abs() / (_TUNED * spread)).clamp_min(1)
    return residuals, spread


def _without(known: Tensor, values: Tensor, weights: Tensor) -> Tensor:
    """Return what a weighted fit of ``known`` leaves of each column of values."""
    root = weights.sqrt()[:, None]
    inverse: Tensor = torch.linalg.pinv(known * root)
    return values - known @ (inverse @ (values * root))


def _tail(index: float) -> float:
    """Return how likely a t variate lies that far out on one side.

    The integral of its density, in closed form for six degrees of freedom.
    """
    angle = math.atan(index / math.sqrt(_FREEDOM))
    cosine = math.cos(angle) ** 2
    series = 1 + cosine / 2 + 3 * cosine**2 / 8
    return 0.5 - math.sin(angle) * series / 2
