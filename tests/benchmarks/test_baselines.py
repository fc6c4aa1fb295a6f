from __future__ import annotations

import pytest
import torch
from baselines import BASELINES, anp, clp, fine_pruning, nad, published
from tiny_nets import CORNERS, corner_net, corners, same_state, snapshot, trained
from torch import nn

from rnp_cli.defense.channels import find_channel_layers
from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of
from rnp_cli.errors import DefenseFailed


def without_batchnorm() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, CORNERS),
    )


@pytest.fixture(scope="module")
def samples() -> Samples:
    return corners(96, seed=0)


@pytest.fixture(scope="module")
def known(samples: Samples) -> nn.Module:
    return trained(corner_net(), samples, epochs=10)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anp, "STEPS_ON_CPU", 10)
    monkeypatch.setattr(published, "BATCH", 16)
    monkeypatch.setattr(published, "FLOOR", 0.4)  # a quarter is chance here


@pytest.mark.parametrize("name", BASELINES)
def test_the_callers_model_stays_as_it_is(
    name: str, known: nn.Module, samples: Samples
) -> None:
    before = snapshot(known)
    try:
        defended = BASELINES[name](known, samples, seed=0)
    except DefenseFailed:
        assert name == "published-budget"
    else:
        assert defended is not known
        assert not any(module.training for module in defended.modules())
        assert logits_of(defended, samples.images).shape == (len(samples), CORNERS)
    assert same_state(known, before)


@pytest.mark.parametrize("name", [n for n in BASELINES if "published" not in n])
def test_networks_without_batchnorm_are_defended_too(
    name: str, samples: Samples
) -> None:
    defended = BASELINES[name](without_batchnorm(), samples, seed=0)
    assert torch.isfinite(logits_of(defended, samples.images)).all()


@pytest.mark.parametrize("name", [n for n in BASELINES if "published" in n])
def test_the_published_procedure_needs_batchnorm(name: str, samples: Samples) -> None:
    with pytest.raises(DefenseFailed, match="BatchNorm"):
        BASELINES[name](without_batchnorm(), samples, seed=0)


def test_the_published_procedure_fails_where_the_floor_is_not_reached(
    known: nn.Module, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "FLOOR", -1)
    with pytest.raises(DefenseFailed, match="floor"):
        published.at_fixed_threshold(known, samples, seed=0)


def test_the_budget_decides_on_the_threshold(
    known: nn.Module, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "FIXED", 0.9)
    furthest = published.at_fixed_threshold(known, samples, seed=0)
    monkeypatch.setattr(published, "BUDGET", 1.0)
    pruned = published.within_budget(known, samples, seed=0)
    assert same_state(pruned, snapshot(furthest))
    monkeypatch.setattr(published, "BUDGET", -1.0)
    with pytest.raises(DefenseFailed, match="Every threshold"):
        published.within_budget(known, samples, seed=0)


def test_the_same_seed_gives_the_same_model(known: nn.Module, samples: Samples) -> None:
    first, second = (
        BASELINES["fine-tuning"](known, samples, seed=seed) for seed in (3, 3)
    )
    assert same_state(first, snapshot(second))


def test_fine_pruning_keeps_the_pruned_channels_cut(
    known: nn.Module, samples: Samples
) -> None:
    layer = find_channel_layers(known, samples.images[:2])[-1]
    cut = fine_pruning.bearable(known, layer, samples)
    defended = fine_pruning.defend(known, samples, seed=0)
    assert (defended.get_parameter(f"{layer.name}.weight")[cut] == 0).all()
    assert (defended.get_parameter(f"{layer.name}.bias")[cut] == 0).all()


def test_nad_attends_to_the_end_of_every_stage(
    known: nn.Module, samples: Samples
) -> None:
    stages = nad.find_stages(known, samples.images[:2])
    assert [type(known.get_submodule(name)) for name in stages] == [
        nn.ReLU,
        nn.ReLU,
        nn.AdaptiveAvgPool2d,
    ]


def test_anp_masks_batchnorm_where_there_is_any(
    known: nn.Module, samples: Samples
) -> None:
    kinds = {layer.kind for layer in anp.neurons(known, samples.images)}
    assert kinds == {"batchnorm"}
    (layer,) = anp.neurons(without_batchnorm(), samples.images)
    assert layer.kind == "convolution"


@pytest.mark.parametrize("bias", [True, False])
def test_clp_prunes_a_channel_that_amplifies(bias: bool, samples: Samples) -> None:
    torch.manual_seed(0)
    normalization = nn.Identity() if bias else nn.BatchNorm2d(24)
    conv = nn.Conv2d(1, 24, 3, bias=bias)
    model = nn.Sequential(
        conv, normalization, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 4)
    ).eval()
    with torch.no_grad():
        conv.weight[5] *= 50
    defended = clp.defend(model, samples, seed=0)
    pruned = defended.get_parameter("0.weight" if bias else "1.weight")
    zero = (pruned.flatten(1) if bias else pruned[:, None]).abs().sum(1) == 0
    assert zero.nonzero()[:, 0].tolist() == [5]
