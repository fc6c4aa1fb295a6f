from __future__ import annotations

from pathlib import Path

import pytest

from rnp_cli.cli import options
from rnp_cli.errors import UsageError
from rnp_cli.report.policy import Policy


@pytest.mark.parametrize(
    ("model", "output"),
    [
        ("model.pt", "model.sanitized.safetensors"),
        ("some/where/model.pth.tar", "model.sanitized.safetensors"),
        ("model.safetensors", "model.sanitized.safetensors"),
        ("model.pt2", "model.sanitized.safetensors"),
        ("model.v2.pt", "model.v2.sanitized.safetensors"),
        ("resnet-0.1", "resnet-0.1.sanitized.safetensors"),
        ("model", "model.sanitized.safetensors"),
    ],
)
def test_the_output_is_named_after_the_checkpoint(model: str, output: str) -> None:
    assert options.default_output(Path(model)) == Path(output)


@pytest.mark.parametrize("model", ["model.pth.tar", "some/where/model.onnx", "model"])
def test_the_folder_of_triggers_is_named_after_the_checkpoint(model: str) -> None:
    assert options.default_folder(Path(model)) == Path("model.trigger")


def test_numbers_are_read() -> None:
    assert options.numbers(None, "--mean") is None
    assert options.numbers("0.5", "--mean") == (0.5,)
    assert options.numbers("0.485, .456,1e-1", "--mean") == (0.485, 0.456, 0.1)
    assert options.pair("-1,1", "--range") == (-1.0, 1.0)


def test_a_size_is_height_by_width() -> None:
    assert options.image_size(None) is None
    assert options.image_size("32") == (32, 32)
    assert options.image_size("32X64") == (32, 64)


def test_a_policy_is_read_from_its_rules() -> None:
    read = options.policy(["backdoor", "left", "unheard", "residual=10"])

    assert read == Policy(backdoor=True, left=True, unheard=True, residual=10)
    assert options.policy(read.rules()) == read


@pytest.mark.parametrize(
    "rule",
    [
        "accuracy",
        "residual=",
        "residual=x",
        "backdoor=1",
        "left=1",
        "unheard=1",
        "other",
        "accuracy=-1",
    ],
)
def test_a_policy_that_is_none_is_refused(rule: str) -> None:
    with pytest.raises(UsageError, match="--fail-on") as error:
        options.policy([rule])

    assert repr(rule) in error.value.message
    assert "accuracy=POINTS" in error.value.hint


def test_only_the_rule_that_is_none_is_blamed() -> None:
    with pytest.raises(UsageError) as error:
        options.policy(["backdoor", "residual=1000"])

    assert error.value.message == "--fail-on takes no 'residual=1000'."
    assert "from 0 to 100" in error.value.hint


def test_a_rule_may_be_repeated_but_not_contradicted() -> None:
    assert options.policy(["residual=10", "residual=10.0"]) == Policy(residual=10)

    with pytest.raises(UsageError, match="residual twice, with different limits"):
        options.policy(["residual=10", "residual=99"])
