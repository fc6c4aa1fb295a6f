"""``--arch NAME``: our names, and those of libraries that may or may not work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rnp_cli.architectures import FAMILIES, identify, load
from rnp_cli.errors import InputRefused, UsageError

FIRST = [family.slugs[0] for family in FAMILIES]
LIBRARY = """
from torch import nn
def list_models(module=None):
    return ["tinynet"]
def get_model(name, weights, num_classes):
    assert weights is None
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(num_classes))
def create_model(name, pretrained, num_classes, in_chans):
    assert pretrained is False
    head = nn.Linear(4, num_classes)
    return nn.Sequential(nn.Conv2d(in_chans, 4, 8), nn.Flatten(), head)
"""


@pytest.fixture(autouse=True)
def no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what is installed, so that each test says what there is."""
    for name in ("torchvision", "torchvision.models", "timm"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Make a package importable from these files."""

    def write(name: str, **files: str) -> None:
        for file, text in files.items():
            path = tmp_path / name / f"{file}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            module = name if file == "__init__" else f"{name}.{file}"
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.syspath_prepend(tmp_path)

    return write


@pytest.mark.parametrize("slug", FIRST)
def test_our_names_are_accepted_at_any_width(
    random_module: Callable[..., nn.Module], slug: str
) -> None:
    weights = random_module(slug).state_dict()

    found = identify(weights, name=slug.upper().replace("-", "_"))

    assert found.matched_by == "given"
    assert found.name == identify(weights).name


def test_a_short_name_covers_its_variants(
    random_module: Callable[..., nn.Module],
) -> None:
    weights = random_module("resnet18-cifar").state_dict()

    assert identify(weights, name="resnet18").name == identify(weights).name


def test_a_name_decides_between_orders(
    random_module: Callable[..., nn.Module], images: Tensor
) -> None:
    source = random_module("resnet20")
    weights = {f"a{i}": value for i, value in enumerate(source.state_dict().values())}
    weights = {name: value for name, value in weights.items() if value.ndim}

    found = identify(weights, name="resnet20")

    assert found.matched_by == "order"
    assert torch.equal(load(found, weights)(images), source(images))


def test_a_wrong_name_says_what_differs_and_what_it_is(
    random_module: Callable[..., nn.Module],
) -> None:
    weights = random_module("resnet20").state_dict()

    with pytest.raises(InputRefused, match="does not fit ResNet-32") as refusal:
        identify(weights, name="resnet32")

    assert "missing (layer1.3.conv1.weight" in refusal.value.message
    assert "those of ResNet-20" in refusal.value.message


def test_an_unknown_name_gets_suggestions_and_the_list(
    random_module: Callable[..., nn.Module],
) -> None:
    with pytest.raises(UsageError, match="Did you mean resnet20") as error:
        identify(random_module("resnet20").state_dict(), name="resnt20")

    assert "wrn-16-1" in error.value.message
    assert "FILE.py:FACTORY" in error.value.hint


@pytest.mark.parametrize("name", ["wrn-17-1", "wrn-16-0", "hf-hub:some/model"])
def test_impossible_names_are_unknown(
    random_module: Callable[..., nn.Module], name: str
) -> None:
    with pytest.raises(UsageError, match="No architecture is called"):
        identify(random_module("resnet20").state_dict(), name=name)


def test_a_broken_library_is_not_usable_and_says_why(
    random_module: Callable[..., nn.Module], install: Callable[..., None]
) -> None:
    install("torchvision", __init__="raise RuntimeError('operator nms does not exist')")

    with pytest.raises(UsageError) as error:
        identify(random_module("resnet20").state_dict(), name="densenet121")

    assert "RuntimeError: operator nms does not exist" in error.value.hint
    assert "pip install 'rnp-cli[timm]'" in error.value.hint


def test_a_library_model_takes_its_sizes_from_the_weights(
    install: Callable[..., None],
) -> None:
    install("timm", __init__=LIBRARY)
    weights = {
        "0.weight": torch.zeros(4, 1, 8, 8),
        "0.bias": torch.zeros(4),
        "2.weight": torch.zeros(43, 4),
        "2.bias": torch.zeros(43),
    }

    found = identify(weights, name="tinynet")

    assert (found.num_classes, found.in_channels) == (43, 1)
    assert load(found, weights)(torch.zeros(1, 1, 8, 8)).shape == (1, 43)
    with pytest.raises(InputRefused, match="does not fit tinynet"):
        identify({**weights, "extra": torch.zeros(1)}, name="tinynet")


def test_only_classifiers_of_torchvision_are_offered(
    install: Callable[..., None], random_module: Callable[..., nn.Module]
) -> None:
    install("torchvision", __init__="", models=LIBRARY)

    with pytest.raises(UsageError, match="Did you mean tinynet"):
        identify(random_module("resnet20").state_dict(), name="tinynett")
