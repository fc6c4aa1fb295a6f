"""Reconstructive Neuron Pruning, its stages strung together (Algorithm 1).

Li et al., "Reconstructive Neuron Pruning for Backdoor Defense", ICML 2023. Each
departure is named in the file of its stage.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from rnp_cli.defense.adversarial import AdversarialConfig, adversarial_masks
from rnp_cli.defense.augment import Augmentation, bearable_augmentation
from rnp_cli.defense.channels import ChannelLayer, find_channel_layers
from rnp_cli.defense.distill import DistillConfig
from rnp_cli.defense.prune import prune, zero_rows, zeroed_rows
from rnp_cli.defense.rank import RankedChannel, rank, weight_change
from rnp_cli.defense.recover import ChannelMasks, RecoverConfig, recover
from rnp_cli.defense.repair import RepairConfig
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.score import clean_accuracy
from rnp_cli.defense.threshold import (
    NoSafeThreshold,
    Threshold,
    ThresholdConfig,
    choose_fewest,
    choose_threshold,
)
from rnp_cli.defense.unlearn import UnlearnConfig, Unlearned, unlearn
from rnp_cli.device import seeded
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Listener, ignore


class DefenseConfig(BaseModel):
    """The knobs of every stage."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    holdout_share: float = Field(0.3, gt=0, lt=1)
    unlearn: UnlearnConfig = UnlearnConfig()
    recover: RecoverConfig = RecoverConfig()
    threshold: ThresholdConfig = ThresholdConfig()
    repair: RepairConfig = RepairConfig()
    adversarial: AdversarialConfig = AdversarialConfig()
    distill: DistillConfig = DistillConfig()


@dataclass(frozen=True, eq=False)
class Defended:
    """What each stage found, and the pruned model.

    Where there is no safe threshold, ``pruned`` is empty and ``model`` an unchanged
    copy.
    """

    layers: tuple[ChannelLayer, ...]
    augmentation: Augmentation
    unlearned: Unlearned
    masks: ChannelMasks
    ranked: tuple[RankedChannel, ...]
    threshold: Threshold | NoSafeThreshold
    pruned: tuple[RankedChannel, ...]
    model: nn.Module


def defend(
    model: nn.Module,
    samples: SplitSamples,
    config: DefenseConfig,
    *,
    augmentation: Augmentation | None = None,
    unlearned: Unlearned | None = None,
    success_of: Callable[[nn.Module], float] | None = None,
    is_adversarial: bool = False,
    seed: int,
    listen: Listener = ignore,
) -> Defended:
    """Unlearn, recover and prune a copy of ``model``, which stays as it is.

    model: images (batch, channel, height, width) in [0, 1] to logits (batch, class).
    augmentation, unlearned: where they are known already. success_of: the share of
    clean samples that recovered triggers turn on a model; where it is given, no more is
    pruned than it takes to bring that down. is_adversarial: the recovered masks are
    fitted to ``model`` under the worst push, before channels are ranked by them.
    Raises DefenseFailed when a stage cannot do its work.
    """
    device = samples.fit.images.device
    with seeded(seed, device):
        layers = find_channel_layers(model, samples.fit.images[:2])
        if not layers:
            raise DefenseFailed(
                "The network has no BatchNorm, convolution or linear layer to prune "
                "before the one that makes its logits.",
                hint="Pruning channels cannot help here; reject or retrain the model.",
            )
        if augmentation is None:
            augmentation = bearable_augmentation(model, samples.fit, seed=seed)
        unlearned = unlearned or unlearn(
            model,
            samples,
            config.unlearn,
            augmentation=augmentation,
            seed=seed,
            listen=listen,
        )
        masks = recover(
            unlearned,
            layers,
            samples,
            config.recover,
            augmentation=augmentation,
            seed=seed,
            listen=listen,
        )
        if is_adversarial:
            masks = adversarial_masks(
                model,
                masks,
                samples,
                config.adversarial,
                augmentation=augmentation,
                seed=seed,
                listen=listen,
            )
    ranked = rank(masks, weight_change(model, unlearned.model, layers))
    threshold = _choose(
        model, layers, ranked, samples, config.threshold, success_of, listen
    )
    count = threshold.pruned if isinstance(threshold, Threshold) else 0
    pruned = ranked[:count]
    sanitized = prune(model, layers, [r.channel for r in pruned])
    return Defended(
        layers, augmentation, unlearned, masks, ranked, threshold, pruned, sanitized
    )


def _choose(
    model: nn.Module,
    layers: tuple[ChannelLayer, ...],
    ranked: tuple[RankedChannel, ...],
    samples: SplitSamples,
    config: ThresholdConfig,
    success_of: Callable[[nn.Module], float] | None,
    listen: Listener,
) -> Threshold | NoSafeThreshold:
    trial = copy.deepcopy(model)
    parameters = dict(trial.named_parameters())
    originals = {name: p.detach() for name, p in model.named_parameters()}
    everything = samples.everything()
    before = clean_accuracy(model, everything)

    def cut(count: int) -> nn.Module:
        rows = zeroed_rows(layers, [r.channel for r in ranked[:count]])
        with torch.no_grad():
            for name in (n for layer in layers for n in layer.scaled):
                parameters[name].copy_(originals[name])
        zero_rows(parameters, rows)
        return trial

    def confirm(count: int) -> bool:
        """Hold the budget on all clean samples too, since the holdout is small."""
        lost = before - clean_accuracy(cut(count), everything)
        return lost <= config.max_accuracy_drop + 1e-9

    def accuracy_at(count: int) -> float:
        return clean_accuracy(cut(count), samples.holdout)

    if success_of is None:
        return choose_threshold(
            ranked, accuracy_at, config, confirm=confirm, listen=listen
        )
    return choose_fewest(
        ranked,
        accuracy_at,
        lambda count: success_of(cut(count)),
        config,
        confirm=confirm,
        listen=listen,
    )
