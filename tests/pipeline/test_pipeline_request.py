from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from rnp_cli.data.classifier import Classifier, InputSpec
from rnp_cli.errors import UsageError
from rnp_cli.pipeline import SanitizeRequest


def request(**options: Any) -> SanitizeRequest:
    return SanitizeRequest(model="model.pt", clean_dir="data", **options)


def fed(pixel: float, **options: Any) -> float:
    """What the network sees of a gray pixel."""
    convention = request(**options).convention()
    assert convention is not None
    spec = InputSpec(channels=1, size=(1, 1), fit="crop", convention=convention)
    image = torch.full((1, 1, 1, 1), pixel)
    return Classifier(torch.nn.Identity(), spec)(image).item()


def test_nothing_given_is_nothing_known() -> None:
    assert request().convention() is None


@pytest.mark.parametrize(
    ("options", "black", "white"),
    [
        ({"value_range": (0, 255)}, 0, 255),
        ({"value_range": (-1, 1)}, -1, 1),
        ({"mean": (0.5,), "std": (0.25,)}, -2, 2),
        ({"std": (0.5,)}, 0, 2),
        ({"value_range": (0, 255), "mean": (100,), "std": (2,)}, -50, 77.5),
        ({"value_range": (-1, 1), "mean": (1,)}, -2, 0),
    ],
)
def test_black_and_white_become_what_was_asked_for(
    options: dict[str, Any], black: float, white: float
) -> None:
    assert fed(0, **options) == pytest.approx(black, abs=1e-5)
    assert fed(1, **options) == pytest.approx(white, abs=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"value_range": (1, 0)}, {"value_range": (1, 1)}, {"std": (0,)}, {"std": (1, -1)}],
)
def test_a_range_or_std_of_nothing_is_an_error_of_the_user(
    options: dict[str, Any],
) -> None:
    with pytest.raises(UsageError, match="--range|--std"):
        request(**options).convention()


@pytest.mark.parametrize(
    ("output", "report"),
    [
        ("model.sanitized.safetensors", "model.report.json"),
        ("model.safetensors", "model.report.json"),
        ("model.v2.sanitized.safetensors", "model.v2.report.json"),
        ("model.sanitized.onnx", "model.report.json"),
        ("model.pt2", "model.report.json"),
    ],
)
def test_the_report_goes_beside_the_output(output: str, report: str) -> None:
    folder = Path("some") / "where"

    outputs = (folder / output, Path("elsewhere") / "other.onnx")

    assert request(outputs=outputs).report_path() == folder / report
    assert request().report_path() is None


@pytest.mark.parametrize(
    "options",
    [
        {"seed": -1},
        {"seed": 2**63},
        {"max_samples": 1},
        {"typo": 1},
        {"labels": "guess"},
    ],
)
def test_a_request_that_makes_no_sense_cannot_be_made(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        request(**options)
