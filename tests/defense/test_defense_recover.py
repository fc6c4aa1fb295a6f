from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_nets import same_state, snapshot
from torch import nn

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.channels import find_channel_layers
from rnp_cli.defense.recover import ChannelMasks, RecoverConfig, recover
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.unlearn import UnlearnConfig, Unlearned, unlearn
from rnp_cli.events import Event, StageDone, StageStarted, StepDone


@pytest.fixture
def unlearned(skilled: nn.Module, samples: SplitSamples) -> Unlearned:
    how = Augmentation()
    return unlearn(skilled, samples, UnlearnConfig(), augmentation=how, seed=0)


def recovered(
    unlearned: Unlearned,
    samples: SplitSamples,
    *,
    seed: int = 0,
    listen: Any = lambda event: None,
    **knobs: Any,
) -> ChannelMasks:
    return recover(
        unlearned,
        find_channel_layers(unlearned.model, samples.fit.images[:2]),
        samples,
        RecoverConfig(**knobs),
        augmentation=Augmentation(crop_padding=1),
        seed=seed,
        listen=listen,
    )


def test_masks_move_within_their_range_and_win_skill_back(
    unlearned: Unlearned, samples: SplitSamples
) -> None:
    masks = recovered(unlearned, samples, learning_rate=5.0)

    values = torch.cat(list(masks.value.values()))
    assert [len(masks.value[layer.name]) for layer in masks.layers] == [6, 8]
    assert values.min() == 0
    assert values.max() <= 1
    assert max(masks.history) > unlearned.floor
    assert not any(mask.requires_grad for mask in masks.value.values())


def test_the_weights_are_frozen(unlearned: Unlearned, samples: SplitSamples) -> None:
    before = snapshot(unlearned.model)

    recovered(unlearned, samples)

    assert same_state(unlearned.model, before)
    assert not unlearned.model.training


def test_the_seed_decides(unlearned: Unlearned, samples: SplitSamples) -> None:
    first, again, other = (
        torch.cat(list(recovered(unlearned, samples, seed=s, epochs=3).value.values()))
        for s in (1, 1, 2)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_smaller_loss_moves_the_masks_less(
    unlearned: Unlearned, samples: SplitSamples
) -> None:
    near, far = (
        torch.cat(list(recovered(unlearned, samples, loss_scale=scale).value.values()))
        for scale in (1e-6, 0.2)
    )

    assert (1 - near).max() < 0.01 < (1 - far).max()


def test_every_epoch_is_announced(unlearned: Unlearned, samples: SplitSamples) -> None:
    heard: list[Event] = []

    masks = recovered(unlearned, samples, epochs=3, listen=heard.append)

    assert heard[0] == StageStarted(stage="recover", total=3)
    assert heard[1:-1] == [
        StepDone(stage="recover", step=n, clean_accuracy=accuracy)
        for n, accuracy in enumerate(masks.history, start=1)
    ]
    assert isinstance(heard[-1], StageDone)
