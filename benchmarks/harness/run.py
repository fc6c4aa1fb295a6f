"""One run: a method on a subject with so many samples, drawn by a seed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from subjects import Subject
from subjects.subject import digest_of

from harness.method import Task
from harness.methods import METHODS
from harness.result import Result, Shares, write


@dataclass(frozen=True, kw_only=True)
class Run:
    """What to run, and where it is kept."""

    subject: Subject
    method: str
    samples: int
    seed: int
    work: Path
    device: str = "cpu"

    @property
    def stem(self) -> str:
        """The beginning of the names of its files."""
        return f"{self.subject.name}-{self.samples}-{self.seed}-{self.method}"

    @property
    def file(self) -> Path:
        """Where the result is kept."""
        return self.work / f"{self.stem}.json"

    def key(self) -> str:
        """Return a digest of all that decides the result but seed and count."""
        sources = METHODS[self.method].sources()
        sources = [*sources, Path(__file__)]
        kind = self.device.partition(":")[0]
        return digest_of([*sources, self.subject.digest(), kind])

    def kept(self) -> Result | None:
        """Return the result of an earlier run of the same code on the same model."""
        if not self.file.exists():
            return None
        result = Result.model_validate_json(self.file.read_text())
        return result if result.key == self.key() else None

    def died(self, code: int | None) -> Result:
        """Return the result of a run whose process left none; it is not kept."""
        file = self._before_file()
        before = None
        if file.exists():
            before = Shares.model_validate_json(file.read_text())
        return Result(
            **self._facts(),
            outcome=f"died with exit code {code}",
            changed=False,
            seconds=0,
            cpu_seconds=0,
            before=before,
            after=before,
            details={},
            died=True,
        )

    def perform(self, threads: int) -> None:
        """Defend, measure and keep; for a process of its own."""
        torch.set_num_threads(threads)
        self.work.mkdir(parents=True, exist_ok=True)
        before = self._before()
        samples = self.subject.clean_samples(self.samples, self.seed)
        task = Task(
            subject=self.subject,
            samples=samples,
            seed=self.seed,
            device=self.device,
            work=self.work,
            stem=self.stem,
        )
        began = time.process_time()
        try:
            attempt = METHODS[self.method].attempt(task)
        finally:
            shutil.rmtree(self.work / f"{self.stem}.clean", ignore_errors=True)
        computed = time.process_time() - began
        after = before if attempt.model is None else self.measure(attempt.model)
        result = Result(
            **self._facts(),
            outcome=attempt.outcome,
            changed=attempt.model is not None,
            seconds=round(attempt.seconds, 1),
            cpu_seconds=round(computed, 1),
            before=before,
            after=after,
            details=attempt.details,
        )
        write(self.file, result)

    def measure(self, model: torch.nn.Module) -> Shares:
        """Measure a model in the subject's place."""
        found = self.subject.measure(model.to(self.device))
        rate = found.attack_success_rate
        return Shares(
            clean_accuracy=round(found.clean_accuracy, 4),
            attack_success_rate=None if rate is None else round(rate, 4),
        )

    def _facts(self) -> dict[str, str | int | None]:
        return {
            "subject": self.subject.name,
            "attack": self.subject.attack,
            "method": self.method,
            "samples": self.samples,
            "seed": self.seed,
            "key": self.key(),
        }

    def _before_file(self) -> Path:
        name = f"{self.subject.name}-{self.subject.digest()}.before.json"
        return self.work / name

    def _before(self) -> Shares:
        file = self._before_file()
        if not file.exists():
            write(file, self.measure(self.subject.network()))
        return Shares.model_validate_json(file.read_text())


def recall(runs: Iterable[Run], results: Iterable[Result]) -> None:
    """Keep results of a table for the runs that they still hold for."""
    known = {(r.subject, r.method, r.samples, r.seed): r for r in results}
    for run in runs:
        result = known.get((run.subject.name, run.method, run.samples, run.seed))
        if result and not run.kept() and result.key == run.key():
            run.work.mkdir(parents=True, exist_ok=True)
            write(run.file, result)
