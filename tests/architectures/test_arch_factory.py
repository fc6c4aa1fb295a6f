"""``--arch FILE.py:FACTORY``: the user's own network, and what can be wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rnp_cli.architectures import identify, identify_all, load
from rnp_cli.errors import InputRefused, UsageError

CODE = """
from __future__ import annotations
from dataclasses import dataclass
from torch import nn
from sizes_next_door import CLASSES

@dataclass
class Config:
    classes: int = CLASSES

def network():
    head = nn.Linear(8, Config().classes)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), head)

def perceptron():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 5))

def two_inputs():
    return nn.ModuleDict({"gray": nn.Conv2d(1, 2, 3), "color": nn.Conv2d(3, 2, 3)})

def needs(argument):
    return nn.Linear(1, 1)

def number():
    return 3

def leaves():
    raise SystemExit(0)

instance = nn.Linear(1, 1)
"""


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "sizes_next_door.py").write_text("CLASSES = 7\n")
    path = tmp_path / "my nets.py"
    path.write_text(CODE)
    yield path
    sys.modules.pop("sizes_next_door", None)


@pytest.fixture
def weights() -> dict[str, Tensor]:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 7))
    return module.state_dict()


def test_a_factory_builds_the_network(code: Path, weights: dict[str, Tensor]) -> None:
    path = list(sys.path)

    found = identify(weights, name=f"{code}:network")
    loaded = load(found, weights)

    assert (found.name, found.matched_by) == ("my nets.py:network", "given")
    assert (found.num_classes, found.in_channels) == (7, 1)
    assert torch.equal(loaded.state_dict()["2.weight"], weights["2.weight"])
    assert sys.path == path


def test_a_prefix_is_allowed(code: Path, weights: dict[str, Tensor]) -> None:
    prefixed = {f"module.{name}": value for name, value in weights.items()}

    found = identify(prefixed, name=f"{code}:network")

    assert load(found, prefixed).state_dict().keys() == weights.keys()


def test_a_perceptron_tells_its_image_size(code: Path) -> None:
    weights = nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).state_dict()

    found = identify(weights, name=f"{code}:perceptron")

    assert (found.in_channels, found.image_size) == (3, 8)


def test_a_module_with_two_inputs_is_offered_for_both(code: Path) -> None:
    weights = {
        "gray.weight": torch.zeros(2, 1, 3, 3),
        "gray.bias": torch.zeros(2),
        "color.weight": torch.zeros(2, 3, 3, 3),
        "color.bias": torch.zeros(2),
    }

    found = identify_all(weights, name=f"{code}:two_inputs")

    assert [architecture.in_channels for architecture in found] == [1, 3]


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (":needs", "TypeError"),
        (":number", "returned int"),
        (":leaves", "SystemExit"),
        (":absent", "has no absent. It defines Config, network"),
        (":instance", "is Linear, not a function"),
        (":", "names no factory"),
        ("", "names no factory"),
        (":a.b", "names no factory"),
    ],
)
def test_unusable_factories_are_usage_errors(
    code: Path, weights: dict[str, Tensor], factory: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        identify(weights, name=f"{code}{factory}")

    assert error.value.hint


def test_a_missing_file_is_a_usage_error(
    tmp_path: Path, weights: dict[str, Tensor]
) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        identify(weights, name=f"{tmp_path / 'absent.py'}:network")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def broken(", "SyntaxError"),
        ("import module_that_nobody_has", "ModuleNotFoundError"),
        ("raise SystemExit(0)", "SystemExit"),
    ],
)
def test_a_file_that_cannot_be_imported_is_a_usage_error(
    tmp_path: Path, weights: dict[str, Tensor], text: str, message: str
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(text)

    with pytest.raises(UsageError, match=message):
        identify(weights, name=f"{file}:network")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"2.bias": None}, r"1 missing \(2.bias\)"),
        ({"3.bias": torch.zeros(1)}, r"1 unexpected \(3.bias\)"),
        ({"2.weight": torch.zeros(6, 8)}, "2.weight is 6x8, expected 7x8"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    code: Path,
    weights: dict[str, Tensor],
    change: dict[str, Tensor | None],
    message: str,
) -> None:
    merged = {**weights, **change}
    changed = {name: value for name, value in merged.items() if value is not None}

    with pytest.raises(InputRefused, match=message):
        identify(changed, name=f"{code}:network")
