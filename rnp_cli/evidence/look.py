"""Look for a backdoor in a model: unlearn it, recover triggers, and judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from rnp_cli.evidence.inversion import InversionConfig, goals_of, invert_each
from rnp_cli.evidence.label import LabelEvidence, hear_mistakes
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.remaining import ClosingConfig
from rnp_cli.evidence.triggers import FAMILIES
from rnp_cli.evidence.verdict import Verdict, VerdictConfig, judge


class EvidenceConfig(BaseModel):
    """The knobs of what tells a backdoor.

    unlearnings: how often the model unlearns to hear where its mistakes go; the first
    goes all the way, the others half.
    most_classes: triggers are recovered for at most so many classes, those first that
    draw the most mistakes while the model unlearns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    unlearnings: int = Field(3, ge=1)
    most_classes: int = Field(50, ge=2)
    inversion: InversionConfig = InversionConfig()
    verdict: VerdictConfig = VerdictConfig()
    closing: ClosingConfig = ClosingConfig()


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the two witnesses say. unlearned: or why it could not be."""

    layers: tuple[ChannelLayer, ...]
    unlearned: Unlearned | DefenseFailed
    label: LabelEvidence | None
    triggers: tuple[RecoveredTrigger, ...]
    verdict: Verdict


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

    model: images (batch, channel, height, width) in [0, 1] to logits (batch, class).
    hear_both: or else no triggers are recovered where unlearning alone is strong
    evidence, which they cannot make any weaker. Where triggers are weak evidence they
    are recovered twice, and the smaller ones count: a search that ended far from the
    smallest makes another class stand out.
    Raises DefenseFailed when neither witness has anything to say.
    """
    unlearned, layers, label = _unlearn(
        model, samples, unlearning, config, augmentation, seed, listen
    )
    if not hear_both and label is not None:
        alone = judge((), label, config.verdict, seed=seed)
        if alone.level == "strong":
            return Evidence(layers, unlearned, label, (), alone)
    triggers = _invert(model, samples, config, label, seed, listen)
    if isinstance(unlearned, DefenseFailed) and not any(t.found for t in triggers):
        raise unlearned
    verdict = judge(triggers, label, config.verdict, seed=seed)
    if verdict.level == "weak" and convicted_by_triggers(verdict, config.verdict):
        again = _invert(model, samples, config, label, seed + 1, listen)
        pairs = zip(triggers, again, strict=True)
        triggers = tuple(_smaller(*pair) for pair in pairs)
        verdict = judge(triggers, label, config.verdict, seed=seed)
    return Evidence(layers, unlearned, label, triggers, verdict)


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
    and stand for how large triggers are.
    """
    unlearned, layers, label = _unlearn(
        model, samples, unlearning, config, augmentation, seed, listen
    )
    replaced = {(t.family, t.target): t for t in newest}
    triggers = tuple(replaced.get((t.family, t.target), t) for t in before.triggers)
    verdict = judge(triggers, label, config.verdict, seed=seed)
    return Evidence(layers, unlearned, label, triggers, verdict)


def _unlearn(
    model: nn.Module,
    samples: SplitSamples,
    unlearning: UnlearnConfig,
    config: EvidenceConfig,
    augmentation: Augmentation,
    seed: int,
    listen: Listener,
) -> tuple[Unlearned | DefenseFailed, tuple[ChannelLayer, ...], LabelEvidence | None]:
    layers = find_channel_layers(model, samples.fit.images[:2])
    try:
        with seeded(seed, samples.fit.images.device):
            unlearned = unlearn(
                model,
                samples,
                unlearning,
                augmentation=augmentation,
                seed=seed,
                listen=listen,
            )
    except DefenseFailed as failure:  # the other witness may still speak
        return failure, layers, None
    label = hear_mistakes(
        model,
        unlearned,
        layers,
        samples,
        unlearning,
        times=config.unlearnings,
        augmentation=augmentation,
        seed=seed,
        listen=listen,
    )
    return unlearned, layers, label


def _invert(
    model: nn.Module,
    samples: SplitSamples,
    config: EvidenceConfig,
    label: LabelEvidence | None,
    seed: int,
    listen: Listener,
) -> tuple[RecoveredTrigger, ...]:
    classes = _suspects(samples.num_classes, label, config.most_classes)
    goals = [
        goal
        for family in FAMILIES
        for goal in goals_of(
            [*classes, None] if family == "overlay" else classes, family
        )
    ]
    return invert_each(
        model, samples, config.inversion, goals, seed=seed, listen=listen
    )


def _smaller(one: RecoveredTrigger, other: RecoveredTrigger) -> RecoveredTrigger:
    return min(one, other, key=lambda trigger: (not trigger.found, trigger.norm))


def _suspects(
    num_classes: int, label: LabelEvidence | None, most: int
) -> Sequence[int]:
    if num_classes <= most:
        return range(num_classes)
    shares = torch.tensor(label.shares if label else [0.0] * num_classes)
    return sorted(shares.argsort(descending=True, stable=True)[:most].tolist())
