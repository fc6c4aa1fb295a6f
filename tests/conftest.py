"""The digits example sanitized once, and what every room's tests need."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from writing import weights_only

from rnp_cli.cli import main
from rnp_cli.events import ignore
from rnp_cli.pipeline import SanitizeRequest, SanitizeResult, sanitize
from rnp_cli.pipeline.outputs import write

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
        model=digits.model, clean_dir=digits.clean, outputs=(output,), device="cpu"
    )
    result = sanitize(request)
    return Sanitized(result, output, output.with_name("digits.report.json"))


@dataclass(frozen=True)
class Released:
    """A model and all that can be beside it, for one test to change."""

    model: Path
    report: Path
    statement: Path
    bom: Path


@pytest.fixture
def released(sanitized: Sanitized, digits: Example, tmp_path: Path) -> Released:
    """What the run of ``sanitized`` writes with a BOM."""
    output = tmp_path / sanitized.model.name
    report = tmp_path / sanitized.report.name
    request = SanitizeRequest(
        model=digits.model, clean_dir=digits.clean, outputs=(output,), bom=True
    )
    models = {output: weights_only(sanitized.result.state_dict or {})}
    write(request, (output, report), sanitized.result.report, models, ignore)
    return Released(
        output, report, tmp_path / "digits.intoto.json", tmp_path / "digits.cdx.json"
    )


@dataclass(frozen=True)
class Run:
    """How one run of the command ended."""

    code: int
    out: str
    err: str


Rnp = Callable[..., Run]


@pytest.fixture
def rnp(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Rnp:
    """Run ``rnp`` with these arguments in ``tmp_path``, on lines that do not break."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "500")

    def run(*args: object) -> Run:
        monkeypatch.setattr(sys, "argv", ["rnp", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        streams = capsys.readouterr()
        return Run(int(code or 0), streams.out, streams.err)

    return run
