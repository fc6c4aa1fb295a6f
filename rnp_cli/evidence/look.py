"""Look for a backdoor in a model: hear what witnesses say of it, and judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.channels import ChannelLayer
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.unlearn import UnlearnConfig, Unlearned
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Listener, ignore
from rnp_cli.evidence.asking import Asking
from rnp_cli.evidence.closing import convicted_by_triggers
from rnp_cli.evidence.config import EvidenceConfig
from rnp_cli.evidence.label import LabelEvidence
from rnp_cli.evidence.margin import Margins
from rnp_cli.evidence.pairs import Pairs
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.triggers import Family
from rnp_cli.evidence.verdict import Verdict


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the witnesses say. unlearned: or why it could not be.

    margins: None where they were not asked about, or classes are too few. pairs:
    triggers from each class to each other, where they were sought and can be compared.
    """

    layers: tuple[ChannelLayer, ...]
    unlearned: Unlearned | DefenseFailed
    label: LabelEvidence | None
    triggers: tuple[RecoveredTrigger, ...]
    verdict: Verdict
    pairs: Pairs | None = None
    margins: Margins | None = None

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
    hear_all: bool = True,
    listen: Listener = ignore,
) -> Evidence:
    """Hear the witnesses on ``model``, which stays as it is.

    What is not strong evidence at once is looked at longer: the model unlearns more
    often, and where triggers are weak evidence they are recovered twice, and the
    smaller ones count (one search that ended far from the smallest makes another class
    stand out). Of more classes than are asked about, mistakes say which. Where mistakes
    tell nothing, and no class stands out, pairs of classes are asked about.

    model: images (batch, channel, height, width) in [0, 1] to logits (batch, class).
    hear_all: or else no triggers are recovered where the other witnesses are strong
    evidence alone, which triggers cannot make any weaker.
    Raises DefenseFailed when the model could not be unlearned, and nothing else speaks:
    no trigger is found, and margins are no evidence.
    """
    ask = Asking(model, samples, unlearning, config, augmentation, seed, listen)
    unlearned, layers = ask.unlearn()
    label = ask.mistakes(unlearned, layers)
    at_once = hear_all and samples.num_classes <= config.most_classes
    margins = ask.margins(label)
    triggers = ask.triggers(label) if at_once else ()
    verdict = ask.verdict(triggers, label, margins)
    if verdict.level != "strong" and ask.is_heard_longer(unlearned, layers):
        label = ask.mistakes(unlearned, layers, times=config.unlearnings)
        verdict = ask.verdict(triggers, label, margins)
    if not triggers and (hear_all or verdict.level != "strong"):
        triggers = ask.triggers(label)
        verdict = ask.verdict(triggers, label, margins)
    is_silent = verdict.level == "none" and not any(t.found for t in triggers)
    if isinstance(unlearned, DefenseFailed) and is_silent:
        raise unlearned
    if verdict.level == "weak" and convicted_by_triggers(verdict, config.verdict):
        again = zip(triggers, ask.triggers(label, attempt=1), strict=True)
        triggers = tuple(_smaller(*pair) for pair in again)
        verdict = ask.verdict(triggers, label, margins)
    pairs = ask.pairs() if verdict.level == "none" and label is None else None
    verdict = _with_pairs(verdict, pairs, config)
    return Evidence(layers, unlearned, label, triggers, verdict, pairs, margins)


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
    """Hear the witnesses on a model that was sanitized.

    before: what they said of the model as it came. newest: triggers recovered from the
    sanitized one, which replace those of before; the other classes' were no evidence,
    and stand for how large triggers are, and how wide margins. One without a class is
    not heard unless it is new: it may have led to the suspected class. The model
    unlearns as often as it did before, and more often where that is evidence.
    """
    ask = Asking(model, samples, unlearning, config, augmentation, seed, listen)
    unlearned, layers = ask.unlearn()
    times = 1 if before.label is None else before.label.unlearnings
    label = ask.mistakes(unlearned, layers, times=times)
    triggers = _replaced(before.triggers, newest)
    pairs = before.pairs
    if pairs is not None:
        pairs = replace(pairs, triggers=_replaced(pairs.triggers, newest))
    current = [t for t in triggers if t.target is not None or t in newest]
    margins, suspect = before.margins, before.verdict.target
    if margins is not None and suspect is None:
        margins = ask.margins_of(margins.targets)  # none of them stands for the others
    elif margins is not None and suspect in margins.targets:
        margins = margins.with_newest(ask.margins_of([suspect]))
    verdict = ask.verdict(current, label, margins)
    is_longer = ask.is_heard_longer(unlearned, layers) and times == 1
    if verdict.level != "none" and is_longer:
        label = ask.mistakes(unlearned, layers, times=config.unlearnings)
        verdict = ask.verdict(current, label, margins)
    verdict = _with_pairs(verdict, pairs, config)
    return Evidence(layers, unlearned, label, triggers, verdict, pairs, margins)


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
