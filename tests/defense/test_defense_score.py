from __future__ import annotations

import pytest
import torch
from tiny_nets import corner_net, corners, same_state, snapshot
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import (
    certain_loss,
    clean_accuracy,
    evaluating,
    logits_of,
)


def test_accuracy_is_the_share_labelled_correctly() -> None:
    images = torch.eye(4).view(4, 1, 2, 2)

    samples = Samples(images, torch.tensor([0, 1, 2, 0]))

    assert clean_accuracy(nn.Flatten(), samples) == 0.75


def test_many_images_are_scored_in_order() -> None:
    model = corner_net().eval()
    images = corners(600, seed=0).images

    with torch.no_grad():
        assert torch.allclose(logits_of(model, images), model(images), atol=1e-5)


def test_scoring_uses_eval_mode_and_gives_each_module_its_own_back() -> None:
    model = corner_net().train()
    model[1].eval()
    before = snapshot(model)

    logits = logits_of(model, corners(8, seed=0).images)

    assert not logits.requires_grad
    assert same_state(model, before)
    assert [m.training for m in model] == [n != 1 for n in range(len(model))]


def test_modes_come_back_after_an_error() -> None:
    model = corner_net().train()

    def fail() -> None:
        with evaluating(model):
            assert not model.training
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert all(m.training for m in model.modules())


def test_batches_cover_everything_once_and_none_is_a_single_image() -> None:
    samples = Samples(torch.arange(9.0).view(9, 1, 1, 1), torch.arange(9))
    generator = torch.Generator().manual_seed(0)

    batches = list(samples.batches(4, generator))

    assert sorted(torch.cat([b.labels for b in batches]).tolist()) == list(range(9))
    assert all(2 <= len(b) <= 4 for b in batches)
    assert all(torch.equal(b.images.flatten().long(), b.labels) for b in batches)


class Says(nn.Module):
    """Calls the first so many images class 1, and the others class 0."""

    def __init__(self, ones: int) -> None:
        super().__init__()
        self._ones = ones

    def forward(self, images: Tensor) -> Tensor:
        is_one = images.flatten(1)[:, 0] < self._ones
        return torch.stack([~is_one, is_one], 1).float()


def test_a_loss_is_certain_as_far_as_chance_cannot_explain_it() -> None:
    count = 100
    images = torch.arange(float(count)).view(-1, 1, 1, 1)
    samples = Samples(images, torch.ones(count, dtype=torch.long))
    whole = Says(count)

    assert certain_loss(whole, whole, samples) == 0
    assert certain_loss(whole, Says(99), samples) < 0  # one image: it may be chance
    assert 0.2 < certain_loss(whole, Says(60), samples) < 0.4
    assert certain_loss(Says(60), whole, samples) < -0.4
