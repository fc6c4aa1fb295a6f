"""Loading is strict: the module holds the checkpoint's values and no others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rnp_cli.architectures import identify, load
from rnp_cli.errors import InputRefused


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_float_type_become_float32(
    random_module: Callable[..., nn.Module], dtype: torch.dtype
) -> None:
    weights = random_module("resnet20").to(dtype).state_dict()

    loaded = load(identify(weights), weights)

    own = loaded.state_dict()
    assert {value.dtype for value in loaded.parameters()} == {torch.float32}
    assert all(torch.equal(own[name], weights[name].to(own[name])) for name in own)


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(10, dtype=torch.int8),
        torch.ones(10, dtype=torch.complex64),
        torch.ones(10).to_sparse(),
        torch.ones(10, device="meta"),
    ],
    ids=["integers", "complex", "sparse", "meta"],
)
def test_other_values_are_refused(
    random_module: Callable[..., nn.Module], value: Tensor
) -> None:
    weights = random_module("resnet20").state_dict()
    weights["linear.bias"] = value

    with pytest.raises(InputRefused, match="linear.bias holds no plain"):
        load(identify(weights), weights)


def test_another_checkpoint_is_refused(random_module: Callable[..., nn.Module]) -> None:
    found = identify(random_module("resnet20").state_dict())

    with pytest.raises(InputRefused, match="does not fit ResNet-20"):
        load(found, random_module("wrn-16-1").state_dict())


def test_a_name_the_architecture_does_not_map_is_refused(
    random_module: Callable[..., nn.Module],
) -> None:
    weights = random_module("resnet20").state_dict()
    found = identify({f"net.{name}": value for name, value in weights.items()})

    with pytest.raises(InputRefused, match="not mapped"):
        load(found, weights)


def test_the_caller_keeps_its_tensors_and_its_random_state(
    random_module: Callable[..., nn.Module], images: Tensor
) -> None:
    source = random_module("resnet20")
    weights = source.state_dict()
    before = source(images)
    state = torch.get_rng_state()

    loaded = load(identify(weights), weights)
    for parameter in loaded.parameters():
        torch.nn.init.zeros_(parameter)

    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(source(images), before)
