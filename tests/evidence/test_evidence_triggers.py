from __future__ import annotations

import math

import pytest
import torch
from tiny_nets import CORNERS, corners
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.evidence.inversion import InversionConfig, goals_of, invert_triggers
from rnp_cli.evidence.triggers import FAMILIES, Candidates, Family
from rnp_cli.evidence.triggers.addition import Addition
from rnp_cli.evidence.triggers.overlay import Overlay, Overlays

SHAPE = (3, 8, 12)
WAVE = 0.1 * torch.sin(torch.arange(8) * math.pi / 2)[None, :].expand(8, 8)
RAMP = torch.linspace(0, 1, 8)  # the first row of every image that can be warped


def candidates(family: Family, seed: int = 0) -> Candidates:
    generator = torch.Generator().manual_seed(seed)
    return FAMILIES[family](2, SHAPE, generator, torch.device("cpu"))


def images(*lead: int) -> Tensor:
    return torch.rand(*lead, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_kept_is_what_was_tried(family: Family) -> None:
    tried = candidates(family)
    stamped = tried.stamp(images(2, 5)).detach()
    tried.keep(torch.tensor([False, True]))
    with torch.no_grad():
        for parameter in tried.parameters:
            parameter += 0.3
    kept = tried.kept(1)
    assert torch.allclose(kept.stamp(images(2, 5)[1]), stamped[1], atol=1e-6)
    assert not torch.allclose(tried.stamp(images(2, 5))[1], stamped[1], atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_and_the_size_move_every_parameter(family: Family) -> None:
    tried = candidates(family)
    (tried.stamp(images(2, 5)).square().mean() + tried.sizes().sum()).backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in tried.parameters)
    assert tried.sizes().shape == (2,)
    assert 0 < float(tried.sizes().detach().min()) < tried.kept(0).largest


@pytest.mark.parametrize("family", FAMILIES)
def test_it_can_be_drawn(family: Family) -> None:
    tried = candidates(family)
    tried.keep(torch.tensor([True, True]))
    for drawn in (tried.kept(0).picture(), tried.kept(0).extent()):
        assert drawn.shape[1:] == SHAPE[1:]
        assert 0 <= float(drawn.min()) <= float(drawn.max()) <= 1 + 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_never_kept_can_be_drawn(family: Family) -> None:
    nothing = candidates(family).kept(0)
    assert torch.isfinite(nothing.picture()).all()
    assert torch.isfinite(nothing.extent()).all()


def test_a_search_for_a_patch_may_be_kept_near_another() -> None:
    generator = torch.Generator().manual_seed(0)
    overlays = Overlays(2, (1, 12, 12), generator, torch.device("cpu"))
    extent = torch.zeros(1, 12, 12)
    extent[0, 9, 2] = 0.7

    overlays.keep_near(1, extent, generator)
    overlays.keep(torch.tensor([True, True]))

    anywhere, near = overlays.kept(0), overlays.kept(1)
    assert anywhere.mask.max() < 0.3
    assert near.mask[0, 7:12, :5].min() > 0.4
    assert near.mask.sum() < 0.6 * 25
    assert (near.largest, anywhere.largest) == (25, 144)
    assert near.pattern.std() > 5 * anywhere.pattern.std()


@pytest.mark.parametrize("family", ["addition", "warp"])
def test_what_covers_the_image_has_no_surroundings(family: Family) -> None:
    extent = torch.ones(1, *SHAPE[1:])
    with pytest.raises(ValueError, match="no surroundings"):
        candidates(family).keep_near(0, extent, torch.Generator())


def test_a_patch_is_varied_by_pixels_and_by_one_colour() -> None:
    mask = torch.zeros(1, *SHAPE[1:])
    mask[0, 4, 6] = 1
    patch = Overlay(mask, torch.full(SHAPE, 0.5))
    plain = torch.zeros(200, *SHAPE)

    varied = patch.vary(plain, torch.Generator().manual_seed(0))

    around = varied[:, :, 2:7, 4:9].flatten(2)
    assert varied[:, :, :2].max() == 0
    kept = varied[:, 0, 4, 6] == 0.5
    assert 60 < int(kept.sum()) < 140
    around = torch.cat([around[..., :12], around[..., 13:]], 2)  # but the patch itself
    one = (around == around[..., :1]).all(2).all(1)
    extreme = ((around == 0) | (around == 1)).all(2).all(1)
    assert 60 < int(one.sum()) < 140
    assert 60 < int(extreme.sum()) < 140


def test_an_addition_is_varied_by_its_strength_up_to_thrice() -> None:
    change = torch.full(SHAPE, 0.1)
    plain = torch.full((200, *SHAPE), 0.5)

    varied = Addition(change).vary(plain, torch.Generator().manual_seed(0))

    added = varied - plain
    strengths = added[:, 0, 0, 0] / 0.1
    assert torch.allclose(added, added[:, :1, :1, :1].expand_as(added), atol=1e-6)
    assert 0.99 < float(strengths.min()) < 1.1
    assert 2.9 < float(strengths.max()) < 3.01


class Hidden(nn.Module):
    """Tells which quarter is bright; ``evidence`` of a trigger leads to class 2."""

    def forward(self, shown: Tensor) -> Tensor:
        logits = 10 * nn.functional.avg_pool2d(shown, 4).flatten(1)
        return logits + self.evidence(shown)[:, None] * torch.eye(CORNERS)[2]

    def evidence(self, shown: Tensor) -> Tensor:
        raise NotImplementedError


class Wave(Hidden):
    def evidence(self, shown: Tensor) -> Tensor:
        return 4000 * (shown[:, 0] * WAVE).mean((1, 2)).clamp_min(0)


class Shift(Hidden):
    def evidence(self, shown: Tensor) -> Tensor:
        return 40 * (shown[:, 0, 0] - RAMP).abs().mean(1)


def ramped(samples: Samples) -> Samples:
    shown = samples.images.clone()
    shown[:, :, 0] = RAMP
    return Samples(shown, samples.labels)


@pytest.mark.parametrize(("family", "model"), [("addition", Wave()), ("warp", Shift())])
def test_the_family_of_the_trigger_shows_the_class(
    family: Family, model: Hidden
) -> None:
    samples = SplitSamples(
        fit=ramped(corners(64, seed=0)),
        holdout=ramped(corners(32, seed=1)),
        num_classes=CORNERS,
    )
    found = invert_triggers(
        model,
        samples,
        InversionConfig(steps=150),
        goals_of(range(CORNERS), family),
        seed=0,
    )
    assert found[2].found
    assert found[2].success > 0.5
    others = [trigger.norm for trigger in found if trigger.target != 2]
    assert 2 * found[2].norm < min(others)
