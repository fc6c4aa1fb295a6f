"""What one run found, as it is kept."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict


class Shares(BaseModel):
    """CA and ASR in [0, 1]; no ASR for a clean model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clean_accuracy: float
    attack_success_rate: float | None


class Result(BaseModel):
    """One defence on one model. Where it gave no model, the old one goes on.

    seconds: on the wall, of the defence alone; cpu_seconds: those that its
    process computed, all threads together, which a busy machine does not lengthen much.
    outcome: "done", "pruned", or why there is no new model. before and after: None
    where the run died before it could measure; one that died is not kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    attack: str | None
    method: str
    samples: int
    seed: int
    key: str
    outcome: str
    changed: bool
    seconds: float
    cpu_seconds: float
    before: Shares | None
    after: Shares | None
    details: dict[str, Any]
    died: bool = False

    def line(self) -> str:
        """Say it in one line."""
        return (
            f"{self.subject} {self.method} seed {self.seed}, {self.samples} samples: "
            f"CA/ASR {shown(self.before)} -> {shown(self.after)}, "
            f"{self.outcome}, {self.seconds:.0f} s, "
            f"{self.cpu_seconds:.0f} s of CPU"
        )


def shown(shares: Shares | None) -> str:
    """Write CA / ASR."""
    if shares is None:
        return "–"
    rate = shares.attack_success_rate
    success = "–" if rate is None else f"{rate:.3f}"
    return f"{shares.clean_accuracy:.3f} / {success}"


def write(file: Path, content: BaseModel) -> None:
    """Write one record, wholly or not at all."""
    _replace(file, content.model_dump_json(indent=2))


def publish(file: Path, results: Sequence[BaseModel], page: str) -> None:
    """Write a table's data, and its page beside them; print the page."""
    file.parent.mkdir(parents=True, exist_ok=True)
    _replace(file, json.dumps([r.model_dump() for r in results], indent=1))
    file.with_suffix(".md").write_text(page)
    print(page)


def read_results(file: Path) -> list[Result]:
    """Read a table's data."""
    return [Result.model_validate(row) for row in json.loads(file.read_text())]


def _replace(file: Path, text: str) -> None:
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")  # jobs may race
    partial.write_text(text + "\n")
    partial.replace(file)
