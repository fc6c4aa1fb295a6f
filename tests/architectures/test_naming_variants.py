"""Other common namings of the same networks, and what weights do not show."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.architectures import identify, identify_all, load
from rnp_cli.architectures.architecture import Candidate


def renamed(
    state_dict: Mapping[str, Tensor], *rules: tuple[str, str]
) -> dict[str, Tensor]:
    result = {}
    for name, value in state_dict.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        result[name] = value
    return result


@pytest.mark.parametrize("head", ["fc", "classifier"])
def test_resnet_with_downsample_and_another_head(
    random_module: Callable[..., nn.Module], images: Tensor, head: str
) -> None:
    source = random_module("resnet18-cifar")
    weights = renamed(
        source.state_dict(), (r"\.shortcut\.", ".downsample."), (r"^linear", head)
    )

    found = identify(weights)

    assert found.matched_by == "names"
    assert torch.equal(load(found, weights)(images), source(images))


def test_option_b_is_told_by_its_shortcut(
    member: Callable[..., Candidate], random_module: Callable[..., nn.Module]
) -> None:
    weights = random_module("resnet20").state_dict()
    for stage, (entry, out) in {"layer2": (8, 16), "layer3": (16, 32)}.items():
        weights[f"{stage}.0.shortcut.0.weight"] = torch.rand(out, entry, 1, 1)
        for name in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{stage}.0.shortcut.1.{name}"] = torch.ones(out)

    assert identify(weights).name == "ResNet-20 (option B, width 8)"


def test_option_a_pads_with_zero_channels(
    random_module: Callable[..., nn.Module],
) -> None:
    source = random_module("resnet20")
    block = source.get_submodule("layer2.0")
    nn.init.zeros_(block.get_parameter("bn2.weight"))
    nn.init.zeros_(block.get_parameter("bn2.bias"))
    block.get_buffer("bn2.running_mean").zero_()
    x = torch.rand(1, 8, 4, 4)

    out = block(x)

    assert torch.equal(out[:, 4:12], x[:, :, ::2, ::2])
    assert out[:, :4].count_nonzero() == out[:, 12:].count_nonzero() == 0


def test_wide_resnet_in_the_other_naming_projects_the_raw_input(
    random_module: Callable[..., nn.Module], images: Tensor
) -> None:
    source = random_module("wrn-16-2")
    weights = renamed(
        source.state_dict(),
        (r"^block(\d)\.layer\.", r"layer\1."),
        (r"convShortcut", "shortcut.0"),
        (r"^fc", "linear"),
    )

    raw, activated = identify_all(weights)

    assert raw.name.startswith("WRN-16-2")
    assert not torch.allclose(load(raw, weights)(images), source(images))
    assert torch.equal(load(activated, weights)(images), source(images))


def test_wide_resnet_with_biases(random_module: Callable[..., nn.Module]) -> None:
    weights = renamed(
        random_module("wrn-10-2").state_dict(),
        (r"^block(\d)\.layer\.", r"layer\1."),
        (r"convShortcut", "shortcut.0"),
        (r"^fc", "linear"),
    )
    for name, value in list(weights.items()):
        if value.ndim == 4:
            weights[name.replace("weight", "bias")] = torch.zeros(len(value))

    assert identify(weights).name == "WRN-10-2 (width 8)"


def test_preact_resnet_with_a_final_batchnorm(
    random_module: Callable[..., nn.Module], images: Tensor
) -> None:
    weights = random_module("preactresnet18").state_dict()
    before = load(identify(weights), weights)(images)
    for name in ("weight", "bias", "running_mean", "running_var"):
        weights[f"bn.{name}"] = torch.full((64,), 0.5)

    after = load(identify(weights), weights)(images)

    assert identify(weights).name == "PreActResNet-18 (width 8)"
    assert not torch.allclose(before, after)


def test_small_vgg_with_elu_and_dropout_is_the_second_reading(images: Tensor) -> None:
    torch.manual_seed(0)
    features: list[nn.Module] = []
    channels = 3
    for width in (8, 16, 16):
        for _ in range(2):
            features += [nn.Conv2d(channels, width, 3, padding=1)]
            features += [nn.BatchNorm2d(width), nn.ELU()]
            channels = width
        features += [nn.MaxPool2d(2), nn.Dropout(0.3)]
    source = nn.Module()
    source.features = nn.Sequential(*features)
    source.classifier = nn.Linear(256, 10)
    source.eval()

    relu, elu = identify_all(source.state_dict())

    expected = source.classifier(source.features(images).flatten(1))
    assert (relu.image_size, elu.image_size) == (32, 32)
    assert "ELU" in elu.name
    assert torch.allclose(load(elu, source.state_dict())(images), expected, atol=1e-6)
    assert not torch.allclose(load(relu, source.state_dict())(images), expected)


def test_vgg_without_batchnorm_and_with_dropout_before_its_head(images: Tensor) -> None:
    torch.manual_seed(0)
    source = nn.Sequential()
    pool = nn.MaxPool2d(2)
    convs = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
    source.features = nn.Sequential(
        convs[0], nn.ReLU(), pool, convs[1], nn.ReLU(), pool
    )
    source.flatten = nn.Flatten()
    source.classifier = nn.Sequential(
        nn.Dropout(), nn.Linear(512, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 10)
    )
    source.eval()

    loaded = load(identify(source.state_dict()), source.state_dict())

    assert torch.allclose(loaded(images), source(images), atol=1e-6)


def test_resnet_whose_head_sees_several_pixels(
    random_module: Callable[..., nn.Module], images: Tensor
) -> None:
    weights = random_module("resnet18-cifar").state_dict()
    weights["linear.weight"] = torch.rand(10, 64 * 4)

    logits = load(identify(weights), weights)(F.interpolate(images, size=64))

    assert logits.shape == (2, 10)


@pytest.mark.parametrize(
    ("classes", "strides"), [(1000, "ImageNet strides"), (10, "CIFAR strides")]
)
def test_mobilenet_strides_follow_the_class_count(
    random_module: Callable[..., nn.Module], classes: int, strides: str
) -> None:
    weights = random_module("mobilenet-v2", classes=classes).state_dict()

    first, second = identify_all(weights)

    assert strides in first.name
    assert strides not in second.name
