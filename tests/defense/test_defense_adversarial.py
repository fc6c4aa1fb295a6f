from __future__ import annotations

import pytest
import torch
from tiny_nets import same_state, snapshot
from torch import nn

from rnp_cli.defense.adversarial import AdversarialConfig, adversarial_masks
from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.channels import find_channel_layers
from rnp_cli.defense.masks import MaskedModel
from rnp_cli.defense.recover import ChannelMasks
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Event, StageDone, StageStarted, StepDone


def full(model: nn.Module, samples: SplitSamples, value: float = 1.0) -> ChannelMasks:
    layers = find_channel_layers(model, samples.fit.images[:2])
    masks = {layer.name: torch.full((layer.channels,), value) for layer in layers}
    return ChannelMasks(layers, masks, (0.5,))


def fitted(
    model: nn.Module,
    samples: SplitSamples,
    begun: ChannelMasks,
    *,
    seed: int = 0,
    listen: list[Event] | None = None,
    **knobs: float,
) -> ChannelMasks:
    return adversarial_masks(
        model,
        begun,
        samples,
        AdversarialConfig.model_validate(knobs),
        augmentation=Augmentation(),
        seed=seed,
        listen=(listen if listen is not None else []).append,
    )


def test_masks_fall_where_a_push_hurts_and_the_network_keeps_its_skill(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    begun = full(skilled, samples)

    masks = fitted(skilled, samples, begun, steps=60)

    values = torch.cat(list(masks.value.values()))
    assert 0 <= values.min() < 0.9
    assert values.max() <= 1
    assert masks.history == begun.history
    masked = MaskedModel(skilled, masks.layers)
    predicted = masked(samples.holdout.images, masks.value).argmax(1)
    assert (predicted == samples.holdout.labels).float().mean() > 0.8


def test_masks_begin_where_recovery_left_them(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    begun = full(skilled, samples, value=0.5)

    masks = fitted(skilled, samples, begun, steps=1, learning_rate=1e-6)

    for name, mask in masks.value.items():
        torch.testing.assert_close(mask, begun.value[name], atol=1e-3, rtol=0)
        assert mask.data_ptr() != begun.value[name].data_ptr()


def test_neither_the_model_nor_the_recovered_masks_change(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    before, begun = snapshot(skilled), full(skilled, samples)
    skilled[1].train()

    fitted(skilled, samples, begun, steps=3)

    assert same_state(skilled, before)
    assert [m.training for m in skilled][:3] == [False, True, False]
    assert all(bool((mask == 1).all()) for mask in begun.value.values())


def test_the_same_seed_gives_the_same_masks(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    begun = full(skilled, samples)

    one, same, other = (
        fitted(skilled, samples, begun, steps=3, seed=seed) for seed in (0, 0, 1)
    )

    name = begun.layers[0].name
    assert torch.equal(one.value[name], same.value[name])
    assert not torch.equal(one.value[name], other.value[name])


def test_it_announces_its_steps(skilled: nn.Module, samples: SplitSamples) -> None:
    events: list[Event] = []

    fitted(skilled, samples, full(skilled, samples), steps=2, listen=events)

    kinds = [type(event) for event in events]
    assert kinds == [StageStarted, StepDone, StepDone, StageDone]


def test_masks_that_turn_nan_are_told(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    with torch.no_grad():
        skilled[-1].bias[0] = torch.nan

    with pytest.raises(DefenseFailed, match="not finite"):
        fitted(skilled, samples, full(skilled, samples), steps=2)
