"""Look for a backdoor in a model: unlearn it, recover triggers, and judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.channels import ChannelLayer, find_channel_layers
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.unlearn import UnlearnConfig, Unlearned, unlearn
from rnp_cli.device import seeded
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Listener, ignore
from rnp_cli.evidence.closing import convicted_by_triggers
from rnp_cli.evidence.inversion import (
    InversionConfig,
    goals_of,
    invert_each,
    invert_triggers,
)
from rnp_cli.evidence.label import (
    LabelEvidence,
    have_a_say,
    hear_mistakes,
    path_evidence,
)
from rnp_cli.evidence.pairs import Pairs, margins_of, pairs_of
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.remaining import ClosingConfig
from rnp_cli.evidence.triggers import FAMILIES, Family
from rnp_cli.evidence.verdict import Verdict, VerdictConfig, judge


class EvidenceConfig(BaseModel):
    """The knobs of what tells a backdoor.

    unlearnings: how often the model unlearns to hear where its mistakes go, unless
    there is strong evidence at once; the first goes all the way, the others half.
    most_classes: triggers are recovered for at most so many classes, those first that
    draw the most mistakes while the model unlearns.
    most_paired: of at most so many classes triggers are recovered for each pair, where
    nothing else shows a backdoor and mistakes tell nothing; the cost grows with its
    square.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    unlearnings: int = Field(3, ge=1)
    most_classes: int = Field(50, ge=2)
    most_paired: int = Field(12, ge=0)
    inversion: InversionConfig = InversionConfig()
    verdict: VerdictConfig = VerdictConfig()
    closing: ClosingConfig = ClosingConfig()


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the two witnesses say. unlearned: or why it could not be.

    pairs: triggers from each class to each other, where they were sought and can be
    compared.
    """

    layers: tuple[ChannelLayer, ...]
    unlearned: Unlearned | DefenseFailed
    label: LabelEvidence | None
    triggers: tuple[RecoveredTrigger, ...]
    verdict: Verdict
    pairs: Pairs | None = None

    @property
    def suspected(self) -> tuple[RecoveredTrigger, ...]:
        """Return the triggers of all classes that compare with the suspected one's."""
        source = self.verdict.source
        if source is None or self.pairs is None:
            return self.triggers
        return tuple(t for t in self.pairs.triggers if t.source == source)


def look(
    model: nn.Module,
    samples: SplitSamples,
    unlearning: UnlearnConfig,
    config: EvidenceConfig,
    *,
    augmentation: Augmentation,
    seed: int,
    hear_both: bool = True,
    listen: Listener = ignore,
) -> Evidence:
    """Hear both witnesses on ``model``, which stays as it is.

    What is not strong evidence at once is looked at longer: the model unlearns more
    often, and where triggers are weak evidence they are recovered twice, and the
    smaller ones count (one search that ended far from the smallest makes another class
    stand out). Of more classes than are asked about, mistakes say which. Where mistakes
    tell nothing, and no class stands out, pairs of classes are asked about.

    model: images (batch, channel, height, width) in [0, 1] to logits (batch, class).
    hear_both: or else no triggers are recovered where unlearning alone is strong
    evidence, which they cannot make any weaker.
    Raises DefenseFailed when neither witness has anything to say.
    """
    ask = _Asking(model, samples, unlearning, config, augmentation, seed, listen)
    unlearned, layers = ask.unlearn()
    label = ask.mistakes(unlearned, layers)
    at_once = hear_both and samples.num_classes <= config.most_classes
    triggers = ask.triggers(label) if at_once else ()
    verdict = ask.verdict(triggers, label)
    if verdict.level != "strong" and ask.is_heard_longer(unlearned, layers):
        label = ask.mistakes(unlearned, layers, times=config.unlearnings)
        verdict = ask.verdict(triggers, label)
    if not triggers and (hear_both or verdict.level != "strong"):
        triggers = ask.triggers(label)
        verdict = ask.verdict(triggers, label)
    if isinstance(unlearned, DefenseFailed) and not any(t.found for t in triggers):
        raise unlearned
    if verdict.level == "weak" and convicted_by_triggers(verdict, config.verdict):
        again = zip(triggers, ask.triggers(label, attempt=1), strict=True)
        triggers = tuple(_smaller(*pair) for pair in again)
        verdict = ask.verdict(triggers, label)
    pairs = ask.pairs() if verdict.level == "none" and label is None else None
    verdict = _with_pairs(verdict, pairs, config)
    return Evidence(layers, unlearned, label, triggers, verdict, pairs)


def look_again(
    model: nn.Module,
    before: Evidence,
    newest: Sequence[RecoveredTrigger],
    samples: SplitSamples,
    unlearning: UnlearnConfig,
    config: EvidenceConfig,
    *,
    augmentation: Augmentation,
    seed: int,
    listen: Listener = ignore,
) -> Evidence:
    """Hear both witnesses on a model that was sanitized.

    before: what they said of the model as it came. newest: triggers recovered from the
    sanitized one, which replace those of before; the other classes' were no evidence,
    and stand for how large triggers are. One without a class is not heard unless it is
    new: it may have led to the suspected class. The model unlearns as often as it did
    before, and more often where that is evidence.
    """
    ask = _Asking(model, samples, unlearning, config, augmentation, seed, listen)
    unlearned, layers = ask.unlearn()
    times = 1 if before.label is None else before.label.unlearnings
    label = ask.mistakes(unlearned, layers, times=times)
    triggers = _replaced(before.triggers, newest)
    pairs = before.pairs
    if pairs is not None:
        pairs = replace(pairs, triggers=_replaced(pairs.triggers, newest))
    current = [t for t in triggers if t.target is not None or t in newest]
    verdict = ask.verdict(current, label)
    is_longer = ask.is_heard_longer(unlearned, layers) and times == 1
    if verdict.level != "none" and is_longer:
        label = ask.mistakes(unlearned, layers, times=config.unlearnings)
        verdict = ask.verdict(current, label)
    verdict = _with_pairs(verdict, pairs, config)
    return Evidence(layers, unlearned, label, triggers, verdict, pairs)


@dataclass(frozen=True, eq=False)
class _Asking:
    """What the witnesses are asked about."""

    model: nn.Module
    samples: SplitSamples
    unlearning: UnlearnConfig
    config: EvidenceConfig
    augmentation: Augmentation
    seed: int
    listen: Listener

    def unlearn(self) -> tuple[Unlearned | DefenseFailed, tuple[ChannelLayer, ...]]:
        """Unlearn; a failure is told, as the other witness may still speak."""
        layers = find_channel_layers(self.model, self.samples.fit.images[:2])
        try:
            with seeded(self.seed, self.samples.fit.images.device):
                unlearned = unlearn(
                    self.model,
                    self.samples,
                    self.unlearning,
                    augmentation=self.augmentation,
                    seed=self.seed,
                    listen=self.listen,
                )
        except DefenseFailed as failure:
            return failure, layers
        return unlearned, layers

    def is_heard_longer(
        self, unlearned: Unlearned | DefenseFailed, layers: Sequence[ChannelLayer]
    ) -> bool:
        """Return whether more unlearnings have anything to say."""
        return (
            isinstance(unlearned, Unlearned)
            and self.config.unlearnings > 1
            and have_a_say(layers, self.samples.num_classes)
        )

    def mistakes(
        self,
        unlearned: Unlearned | DefenseFailed,
        layers: Sequence[ChannelLayer],
        times: int = 1,
    ) -> LabelEvidence | None:
        """Say where new mistakes go, in the mean of so many unlearnings."""
        if isinstance(unlearned, DefenseFailed):
            return None
        if times == 1:
            return path_evidence([unlearned], layers, self.samples.everything())
        return hear_mistakes(
            self.model,
            unlearned,
            layers,
            self.samples,
            self.unlearning,
            times=times,
            augmentation=self.augmentation,
            seed=self.seed,
            listen=self.listen,
        )

    def triggers(
        self, label: LabelEvidence | None, attempt: int = 0
    ) -> tuple[RecoveredTrigger, ...]:
        """Recover the smallest of each family, for each class that is asked about."""
        most = self.config.most_classes
        classes = _suspects(self.samples.num_classes, label, most)
        goals = [
            goal
            for family in FAMILIES
            for goal in goals_of(
                [*classes, None] if family == "overlay" else classes, family
            )
        ]
        return invert_each(
            self.model,
            self.samples,
            self.config.inversion,
            goals,
            seed=self.seed + attempt,
            listen=self.listen,
        )

    def pairs(self) -> Pairs | None:
        """Recover a trigger for each pair of classes, if they are few."""
        is_asked = self.samples.num_classes <= self.config.most_paired
        goals = pairs_of(self.samples) if is_asked else ()
        if not goals:
            return None
        found = invert_triggers(
            self.model,
            self.samples,
            self.config.inversion,
            goals,
            seed=self.seed,
            listen=self.listen,
        )
        pairs = Pairs(found, margins_of(self.model, self.samples.everything()))
        return pairs if pairs.are_comparable else None

    def verdict(
        self, triggers: Sequence[RecoveredTrigger], label: LabelEvidence | None
    ) -> Verdict:
        """Weigh what was said."""
        return judge(triggers, label, self.config.verdict, seed=self.seed)


def _with_pairs(
    verdict: Verdict, pairs: Pairs | None, config: EvidenceConfig
) -> Verdict:
    """Return what pairs of classes show where classes alone show nothing."""
    if pairs is None or verdict.level != "none":
        return verdict
    told = pairs.judge(config.verdict)
    return verdict if told is None or told.level == "none" else told


def _replaced(
    triggers: Sequence[RecoveredTrigger], newest: Sequence[RecoveredTrigger]
) -> tuple[RecoveredTrigger, ...]:
    """Put the newest in the place of those that lead the same way."""
    by_way = {_way(trigger): trigger for trigger in newest}
    return tuple(by_way.get(_way(trigger), trigger) for trigger in triggers)


def _way(trigger: RecoveredTrigger) -> tuple[Family, int | None, int | None]:
    return trigger.family, trigger.source, trigger.target


def _smaller(one: RecoveredTrigger, other: RecoveredTrigger) -> RecoveredTrigger:
    return min(one, other, key=lambda trigger: (not trigger.found, trigger.norm))


def _suspects(
    num_classes: int, label: LabelEvidence | None, most: int
) -> Sequence[int]:
    if num_classes <= most:
        return range(num_classes)
    shares = torch.tensor(label.shares if label else [0.0] * num_classes)
    return sorted(shares.argsort(descending=True, stable=True)[:most].tolist())
