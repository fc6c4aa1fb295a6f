"""Verdict: is there a backdoor, of which kind, and to which class.

Three witnesses. The first is trigger inversion: how far the logarithm of the smallest
trigger lies below those of the other classes, in standard deviations of those others.
(Neural Cleanse, Wang et al., S&P 2019, measures masks themselves against the median of
all absolute deviations, which says little with ten classes.) Each family of triggers is
asked, and the one that says most is heard, its p-value times their number (Bonferroni).
The second is the maximum margin that any input gives a class, compared in the same way
(``evidence/margin.py``). The third is unlearning: the share of new mistakes that one
class draws. These two do not ask what a trigger looks like, but several targets hide
one another. A class is held against all three, so that each alone can convict it.

Each p-value is of the class that stands out most by chance (``evidence/chance.py``).
That the witnesses err independently of each other is an assumption. Where a model is
looked at longer (``evidence/look.py``), or for pairs of classes
(``evidence/pairs.py``), it has more than one chance to be called backdoored; the
p-value does not count that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from rnp_cli.evidence.chance import (
    Drawn,
    Sizes,
    UsualConfig,
    weigh_margins,
    weigh_mistakes,
    weigh_sizes,
)
from rnp_cli.evidence.label import LabelEvidence
from rnp_cli.evidence.margin import Margins
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.triggers import FAMILIES, Family

Level = Literal["none", "weak", "strong"]
LEVELS: tuple[Level, ...] = ("none", "weak", "strong")
Kind = Literal["all-to-one", "all-to-all", "one-to-one"]


class VerdictConfig(UsualConfig):
    """From which p-value evidence counts, and what is usual in clean models."""

    weak: float = Field(0.05, gt=0, lt=1)
    strong: float = Field(0.001, gt=0, lt=1)


@dataclass(frozen=True)
class Verdict:
    """What the evidence says.

    target: the class that the trigger leads to; None where there is none or the kind is
    "all-to-all". source: the class that it leads from, if the kind is "one-to-one". The
    rest is of that trigger, or without one of the class that comes nearest. family: of
    its trigger that is smallest beside the others'; index: how far below them.
    p_inversion: of so small a trigger in any family, under the null. p_label: of so
    large a share of new mistakes, p_margin: of so wide a margin; None where they say
    nothing, as of "all-to-all" and "one-to-one". p_value: of all.
    """

    level: Level
    kind: Kind | None
    target: int | None
    family: Family
    index: float
    p_inversion: float
    p_label: float | None
    p_value: float
    source: int | None = None
    p_margin: float | None = None


def judge(
    triggers: Sequence[RecoveredTrigger],
    label: LabelEvidence | None,
    config: VerdictConfig,
    *,
    seed: int,
    margins: Margins | None = None,
) -> Verdict:
    """Weigh the triggers, one per class and one without a class, label and margins.

    triggers: none where they were not sought; then the others speak alone.
    label: None where unlearning says nothing of this network; margins: where they
    cannot be compared. A class for which no trigger was found says nothing about how
    small one can be, and is left out; only where nearly all are such, they count as the
    largest there is, if they are overlays: a mask over everything would reach any
    class. With few triggers to compare the spread between them is assumed rather than
    measured, and their evidence is weak at best.
    """
    by_family = {family: _of(triggers, family) for family in FAMILIES}
    weighed = {
        family: weigh_sizes(some, config, is_bounded=family == "overlay", seed=seed)
        for family, some in by_family.items()
        if some
    }
    drawn = None if label is None else weigh_mistakes(label, config, seed=seed)
    wide = None if margins is None else weigh_margins(margins, config, seed=seed)
    classes = sorted({t.target for t in triggers if t.target is not None})
    if not triggers and label is not None:
        classes = [*range(len(label.shares))]
    elif not triggers and margins is not None:
        classes = [*margins.targets]
    judged = [
        _all_to_one(target, weighed, drawn, wide, config, classes=len(classes))
        for target in classes
    ]
    for family, sizes in weighed.items():
        judged += _all_to_all(by_family[family], family, sizes, config)
    if not judged:
        return Verdict("none", None, None, "overlay", 0.0, 1.0, None, 1.0)
    chosen = min(judged, key=lambda verdict: (verdict.p_value, -verdict.index))
    if chosen.level == "none":
        return replace(chosen, kind=None, target=None)
    alone = _of_all(1.0, chosen.p_label, chosen.p_margin, len(classes))
    if (
        weighed
        and weighed[chosen.family].are_few
        and level_of(alone, config) != "strong"
    ):
        return replace(chosen, level="weak")
    return chosen


def _of(
    triggers: Sequence[RecoveredTrigger], family: Family
) -> Sequence[RecoveredTrigger]:
    return [trigger for trigger in triggers if trigger.family == family]


def _all_to_one(
    target: int,
    weighed: Mapping[Family, Sizes],
    drawn: Drawn | None,
    wide: Sizes | None,
    config: VerdictConfig,
    *,
    classes: int,
) -> Verdict:
    """Judge one of so many classes by its triggers, its mistakes and its margin."""
    said = {family: sizes.of(target) for family, sizes in weighed.items()}
    said = said or {"overlay": (0.0, 1.0)}
    family = min(said, key=lambda family: (said[family][1], -said[family][0]))
    index, p_family = said[family]
    p_size = min(1.0, p_family * _speaking(weighed))
    p_label = None if drawn is None else drawn.p_value(target)
    p_margin = None
    if wide is not None and target in wide.targets:
        _, p_margin = wide.of(target)
    p_value = _of_all(p_size, p_label, p_margin, classes)
    return Verdict(
        level=level_of(p_value, config),
        kind="all-to-one",
        target=target,
        family=family,
        index=index,
        p_inversion=p_size,
        p_label=p_label,
        p_value=p_value,
        p_margin=p_margin,
    )


def _all_to_all(
    triggers: Sequence[RecoveredTrigger],
    family: Family,
    sizes: Sizes,
    config: VerdictConfig,
) -> list[Verdict]:
    """Judge the trigger without a class, where it is smaller than all with one."""
    free = [t.norm for t in triggers if t.target is None and t.found]
    said = sizes.of_free(free[0], config) if free else None
    if said is None:
        return []
    index, p_value = said
    level = level_of(p_value, config)
    return [Verdict(level, "all-to-all", None, family, index, p_value, None, p_value)]


def _speaking(weighed: Mapping[Family, Sizes]) -> int:
    """Return how many families compare classes at all; one, where none does."""
    return max(1, sum(1 for sizes in weighed.values() if sizes.targets))


def _of_all(
    p_size: float, p_label: float | None, p_margin: float | None, classes: int
) -> float:
    """Combine the three, two at a time: what two say is a witness in its turn."""
    return combined(combined(p_size, p_label, classes), p_margin, classes)


def combined(first: float, second: float | None, classes: int) -> float:
    """Combine the p-values of two witnesses, each of the class that stands out most.

    second: None where that witness has no say.

    By chance they name the same of ``classes`` once in so many times, and then the
    product is that of two p-values (Fisher's method, in closed form); else either has
    to be so small alone.
    """
    if second is None:
        return first
    product = first * second
    if product >= 1:
        return 1.0
    apart = 1 - (1 - product) ** 2
    same = product * (1 - math.log(product))
    return apart + (same - apart) / classes


def level_of(p_value: float, config: VerdictConfig) -> Level:
    """Say how strong evidence of such a p-value is."""
    if p_value <= config.strong:
        return "strong"
    return "weak" if p_value <= config.weak else "none"
