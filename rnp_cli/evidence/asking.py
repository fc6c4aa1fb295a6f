"""Asking: each witness about one model, whatever is made of what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.channels import ChannelLayer, find_channel_layers
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.unlearn import UnlearnConfig, Unlearned, unlearn
from rnp_cli.device import seeded
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Listener
from rnp_cli.evidence.chance import FEW
from rnp_cli.evidence.config import EvidenceConfig
from rnp_cli.evidence.inversion import goals_of, invert_each, invert_triggers
from rnp_cli.evidence.label import (
    LabelEvidence,
    have_a_say,
    hear_mistakes,
    path_evidence,
)
from rnp_cli.evidence.margin import Margins, maximum_margins
from rnp_cli.evidence.pairs import Pairs, leads_of, pairs_of
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.triggers import FAMILIES
from rnp_cli.evidence.verdict import Verdict, judge


@dataclass(frozen=True, eq=False)
class Asking:
    """What the witnesses are asked about."""

    model: nn.Module
    samples: SplitSamples
    unlearning: UnlearnConfig
    config: EvidenceConfig
    augmentation: Augmentation
    seed: int
    listen: Listener

    def unlearn(self) -> tuple[Unlearned | DefenseFailed, tuple[ChannelLayer, ...]]:
        """Unlearn; a failure is told, as other witnesses may still speak."""
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

    def margins(self, label: LabelEvidence | None) -> Margins | None:
        """Search the maximum margin of each class that is asked about, if enough."""
        classes = self._classes(label)
        if len(classes) < FEW or not self.config.margin.starts:
            return None
        return self.margins_of(classes)

    def margins_of(self, classes: Sequence[int]) -> Margins:
        """Search the maximum margin of these classes."""
        return maximum_margins(
            self.model,
            self.samples.everything(),
            self.config.margin,
            classes,
            seed=self.seed,
            listen=self.listen,
        )

    def triggers(
        self, label: LabelEvidence | None, attempt: int = 0
    ) -> tuple[RecoveredTrigger, ...]:
        """Recover the smallest of each family, for each class that is asked about."""
        classes = self._classes(label)
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
        pairs = Pairs(found, leads_of(self.model, self.samples.everything()))
        return pairs if pairs.are_comparable else None

    def verdict(
        self,
        triggers: Sequence[RecoveredTrigger],
        label: LabelEvidence | None,
        margins: Margins | None,
    ) -> Verdict:
        """Weigh what was said."""
        config = self.config.verdict
        return judge(triggers, label, config, seed=self.seed, margins=margins)

    def _classes(self, label: LabelEvidence | None) -> Sequence[int]:
        """Return the classes to ask about, those that draw most mistakes if many."""
        classes, most = self.samples.num_classes, self.config.most_classes
        if classes <= most:
            return range(classes)
        shares = torch.tensor(label.shares if label else [0.0] * classes)
        return sorted(shares.argsort(descending=True, stable=True)[:most].tolist())
