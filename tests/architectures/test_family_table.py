"""Every family of the table is identified from its weights and loaded back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rnp_cli.architectures import FAMILIES, Shapes, identify, known_names, load
from rnp_cli.architectures.architecture import Candidate
from rnp_cli.architectures.steps import shapes_of

FIRST = [family.slugs[0] for family in FAMILIES]
# one name of each family that checkpoints in circulation have
IN_CIRCULATION = {
    "resnet18-cifar": ("layer2.0.shortcut.0.weight", "linear.weight"),
    "resnet50-cifar": ("layer1.0.conv3.weight", "layer1.0.shortcut.1.running_var"),
    "resnet20": ("layer3.2.bn2.weight", "linear.bias"),
    "preactresnet18": ("layer1.1.bn2.weight", "layer4.0.shortcut.0.weight"),
    "wrn-16-2": ("block1.layer.0.convShortcut.weight", "bn1.weight", "fc.bias"),
    "vgg19-bn": ("features.49.weight", "features.50.running_mean", "classifier.bias"),
    "vgg16-bn-torchvision": ("features.41.bias", "classifier.6.weight"),
    "mobilenetv2-cifar": ("layers.0.shortcut.1.weight", "conv2.weight", "bn2.bias"),
    "mobilenet-v2": ("features.18.1.weight", "features.1.conv.1.weight"),
    "resnet50": ("layer1.0.downsample.1.weight", "fc.weight"),
}


def test_names_are_unique() -> None:
    assert len(set(known_names())) == len(known_names())


@pytest.mark.parametrize("slug", known_names())
def test_full_width_members_are_identified_from_shapes_alone(
    member: Callable[..., Candidate], slug: str
) -> None:
    candidate = member(slug, width=None)
    with torch.device("meta"):
        state_dict = candidate.build().state_dict()

    found = identify(state_dict)

    assert (found.name, found.matched_by) == (candidate.name, "names")
    assert (found.num_classes, found.in_channels) == (10, 3)


@pytest.mark.parametrize("slug", known_names())
def test_the_shapes_of_the_steps_are_those_of_the_module(
    member: Callable[..., Candidate], slug: str
) -> None:
    candidate = member(slug)
    with torch.device("meta"):
        state_dict = candidate.build().state_dict()

    shapes = shapes_of(candidate.steps)

    assert list(shapes.items()) == list(Shapes.of(state_dict).items())


@pytest.mark.parametrize("classes", [10, 43])
@pytest.mark.parametrize("slug", FIRST)
def test_narrow_members_are_loaded_back(
    member: Callable[..., Candidate],
    random_module: Callable[..., nn.Module],
    images: Tensor,
    slug: str,
    classes: int,
) -> None:
    source = random_module(slug, classes=classes)

    found = identify(source.state_dict())
    loaded = load(found, source.state_dict())

    assert found.name == member(slug, classes=classes).name
    assert found.num_classes == classes
    assert not loaded.training
    assert torch.equal(loaded(images), source(images))
    assert loaded(images).shape == (2, classes)


@pytest.mark.parametrize("classes", [100, 200, 1000])
@pytest.mark.parametrize("slug", FIRST)
def test_other_class_counts_and_gray_images(
    member: Callable[..., Candidate], slug: str, classes: int
) -> None:
    candidate = member(slug, classes=classes, channels=1)
    with torch.device("meta"):
        found = identify(candidate.build().state_dict())

    assert (found.num_classes, found.in_channels) == (classes, 1)


@pytest.mark.parametrize(("slug", "names"), IN_CIRCULATION.items())
def test_names_are_those_in_circulation(
    member: Callable[..., Candidate], slug: str, names: tuple[str, ...]
) -> None:
    with torch.device("meta"):
        own = member(slug).build().state_dict()

    assert set(names) <= set(own)


def test_wide_resnets_of_any_depth_are_known(member: Callable[..., Candidate]) -> None:
    with torch.device("meta"):
        found = identify(member("wrn-22-3", width=16).build().state_dict())

    assert found.name == "WRN-22-3"


@pytest.mark.parametrize(
    ("slug", "classes", "size"),
    [
        ("resnet18-cifar", 10, 32),
        ("preactresnet18", 200, 64),
        ("vgg16-bn", 10, 32),
        ("resnet50", 1000, 224),
        ("resnet50", 10, None),
    ],
)
def test_usual_image_size(
    member: Callable[..., Candidate], slug: str, classes: int, size: int | None
) -> None:
    with torch.device("meta"):
        state_dict = member(slug, classes=classes).build().state_dict()

    assert identify(state_dict).image_size == size
