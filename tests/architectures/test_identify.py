"""What identifies a checkpoint, and how one that fits nothing is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from rnp_cli.architectures import FAMILIES, identify, load
from rnp_cli.errors import InputRefused

FIRST = [family.slugs[0] for family in FAMILIES]


def in_order(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keep each tensor's place and role, not the names of the layers."""
    layers: dict[str, int] = {}
    return {
        f"op{layers.setdefault(name.rpartition('.')[0], len(layers))}."
        + name.rpartition(".")[2]: value
        for name, value in state_dict.items()
    }


@pytest.mark.parametrize("slug", FIRST)
def test_foreign_names_are_matched_by_order(
    random_module: Callable[..., nn.Module], images: Tensor, slug: str
) -> None:
    source = random_module(slug, classes=43)
    weights = in_order(source.state_dict())

    found = identify(weights)

    assert found.matched_by == "order"
    assert set(found.key_map.values()) == set(source.state_dict())
    assert torch.equal(load(found, weights)(images), source(images))


def test_order_needs_the_same_roles(random_module: Callable[..., nn.Module]) -> None:
    weights = in_order(random_module("resnet20").state_dict())
    swap = {"running_mean": "running_var", "running_var": "running_mean"}
    swapped = {}
    for name, value in weights.items():
        layer, _, role = name.rpartition(".")
        swapped[f"{layer}.{swap.get(role, role)}"] = value

    with pytest.raises(InputRefused):
        identify(swapped)


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.backbone.net."])
def test_a_constant_prefix_is_mapped_by_names(
    random_module: Callable[..., nn.Module], images: Tensor, prefix: str
) -> None:
    source = random_module("preactresnet18")
    weights = {prefix + name: value for name, value in source.state_dict().items()}

    found = identify(weights)

    assert found.matched_by == "names"
    assert found.key_map[f"{prefix}conv1.weight"] == "conv1.weight"
    assert torch.equal(load(found, weights)(images), source(images))


def test_batch_counters_may_be_absent(
    random_module: Callable[..., nn.Module], images: Tensor
) -> None:
    source = random_module("wrn-16-1")
    weights = {
        name: value
        for name, value in source.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }

    found = identify(weights)

    assert found.matched_by == "names"
    assert torch.equal(load(found, weights)(images), source(images))


def test_a_missing_tensor_is_named(random_module: Callable[..., nn.Module]) -> None:
    weights = random_module("resnet18-cifar").state_dict()
    del weights["layer3.1.conv2.weight"]

    with pytest.raises(InputRefused) as refusal:
        identify(weights)

    first = refusal.value.message.splitlines()[1]
    assert "ResNet-18 (CIFAR, width 8)" in first
    assert "1 missing (layer3.1.conv2.weight)" in first
    assert "--arch" in refusal.value.hint


@pytest.mark.parametrize("role", ["running_mean", "running_var"])
def test_buffers_are_as_necessary_as_weights(
    random_module: Callable[..., nn.Module], role: str
) -> None:
    weights = random_module("resnet20").state_dict()
    del weights[f"layer1.0.bn1.{role}"]

    with pytest.raises(InputRefused, match=f"1 missing .layer1.0.bn1.{role}"):
        identify(weights)


def test_an_extra_tensor_is_named(random_module: Callable[..., nn.Module]) -> None:
    weights = random_module("resnet20").state_dict()
    weights["extra.weight"] = torch.zeros(1)

    with pytest.raises(InputRefused, match=r"1 unexpected \(extra.weight\)"):
        identify(weights)


def test_a_wrong_shape_is_named(random_module: Callable[..., nn.Module]) -> None:
    weights = random_module("wrn-16-1").state_dict()
    weights["fc.bias"] = torch.zeros(11)

    with pytest.raises(InputRefused, match="fc.bias is 11, expected 10"):
        identify(weights)


def test_hostile_names_are_escaped_and_cut(
    random_module: Callable[..., nn.Module],
) -> None:
    weights = random_module("resnet20").state_dict()
    weights["\x1b[2J\r\n\u202e" + "a" * 5000] = torch.zeros(1)
    for number in range(500):
        weights[f"junk{number}"] = torch.zeros(1)

    with pytest.raises(InputRefused) as refusal:
        identify(weights)

    assert "\\x1b[2J\\r\\n\\u202e" in refusal.value.message
    assert "and 498 more" in refusal.value.message
    assert len(refusal.value.message) < 2000
    assert refusal.value.message.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"": torch.zeros(())},
        {"weight": torch.zeros(10, 4)},
        {"conv1.weight": torch.zeros(0, 3, 3, 3), "linear.weight": torch.zeros(0, 0)},
        {
            "features.0.weight": torch.zeros(4, 3, 2, 2),
            "classifier.weight": torch.ones(2),
        },
        {"features.99999.weight": torch.zeros(4, 3, 3, 3)},
        {
            "layer1.0.conv1.weight": torch.zeros(1),
            "layer1.7.conv1.weight": torch.ones(1),
        },
    ],
)
def test_odd_checkpoints_are_refused_and_never_crash(
    weights: dict[str, Tensor],
) -> None:
    with pytest.raises(InputRefused):
        identify(weights)
