"""``rnp`` as a shell sees it: arguments in, exit code and two streams out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rnp_cli.cli import main


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


@pytest.fixture
def stuck_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Masks that cannot move stay at one: no threshold is safe."""
    path = tmp_path_factory.mktemp("config") / "rnp.toml"
    path.write_text("[recover]\nlearning_rate = 1e-9\nepochs = 1\n")
    return path
