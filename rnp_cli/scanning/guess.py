"""Asks a process of our own for architectures: guessing needs torch, a scan does not.

One process serves all models: it imports torch while the other files are read. Where
it fails, a guess is absent, and nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from rnp_cli.report.scan import ArchitectureGuess, TensorInfo

_PACKAGES = Path(__file__).resolve().parents[2]
_START = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from rnp_cli.architectures.guess import main; main()"
)
_SECONDS = 20  # for all models; on a busy machine torch takes half of them to import
_MOST_TENSORS = 5_000  # of a known network, generously; more may be there to waste time


class Guesser:
    """The process; started when there is something to guess, ended on exit."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Guesser:
        return self

    def start(self) -> None:
        """Start the process, unless it runs."""
        if self._process is not None:
            return
        with suppress(OSError):
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-X", "utf8", "-c", _START, str(_PACKAGES)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            with suppress(OSError):
                self._process.communicate()

    def guess(
        self, models: Sequence[Sequence[TensorInfo]]
    ) -> list[ArchitectureGuess | None]:
        """Guess each model from its tensors; to be called once."""
        wanted = [i for i, m in enumerate(models) if 0 < len(m) <= _MOST_TENSORS]
        found: list[ArchitectureGuess | None] = [None] * len(models)
        if self._process is None or not wanted:
            return found
        lines = (json.dumps([(t.name, t.shape) for t in models[i]]) for i in wanted)
        answer = _communicate(self._process, "\n".join(lines) + "\n")
        for i, line in zip(wanted, answer.splitlines(keepends=True), strict=False):
            if line.endswith("\n"):
                with suppress(ValidationError):
                    found[i] = ArchitectureGuess.model_validate_json(line)
        return found


def _communicate(process: subprocess.Popen[str], text: str) -> str:
    """Return what the process said until it ended or its time was up."""
    try:
        return process.communicate(text, timeout=_SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]
    except (OSError, UnicodeDecodeError):
        return ""
