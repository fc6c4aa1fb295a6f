"""The digits example sanitized once, and what every room's tests need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from rnp_cli.pipeline import SanitizeRequest, SanitizeResult, sanitize

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "digits"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what the renderers give now over the golden files",
    )


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Threads cost tiny networks more than they bring, above all on a busy machine."""
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Example:
    """The files of the example that ships."""

    model: Path
    clean: Path
    triggered: Path


@dataclass(frozen=True)
class Sanitized:
    """What one run with default options gave, and the files that it wrote."""

    result: SanitizeResult
    model: Path
    report: Path


@pytest.fixture(scope="session")
def digits() -> Example:
    return Example(EXAMPLE / "model.pt", EXAMPLE / "clean", EXAMPLE / "triggered")


@pytest.fixture(scope="session")
def sanitized(digits: Example, tmp_path_factory: pytest.TempPathFactory) -> Sanitized:
    output = tmp_path_factory.mktemp("sanitized") / "digits.sanitized.safetensors"
    request = SanitizeRequest(
        model=digits.model, clean_dir=digits.clean, output=output, device="cpu"
    )
    result = sanitize(request)
    return Sanitized(result, output, output.with_name("digits.report.json"))
