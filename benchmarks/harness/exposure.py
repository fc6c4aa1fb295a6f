"""Runs that start from what unlearning exposes, which is made once for all of them."""

from __future__ import annotations

import inspect
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from exposed import EXPOSED, Informed, findings
from exposed.findings import Findings, expose, findings_of, from_bytes
from subjects.subject import digest_of
from torch import nn

from harness import baseline, run
from harness.baseline import attempt_baseline
from harness.method import Attempt, Task
from harness.result import Result, write
from harness.run import Run
from harness.sources import TOOL, sources_of
from rnp_cli.data import split
from rnp_cli.defense.rnp import Defended
from rnp_cli.defense.samples import Samples

PRUNED = "pruned"


@dataclass(frozen=True, kw_only=True)
class _ExposedRun(Run, ABC):
    """A run that is no method of ``defense.py``; measured and kept as those are."""

    @abstractmethod
    def attempt(self, task: Task) -> Attempt:
        """Defend."""

    def sources(self) -> list[Path]:
        """Return the files that decide what comes of it."""
        parts = (__file__, run.__file__, baseline.__file__, findings.__file__)
        own = [Path(str(part)) for part in parts]
        return [*sorted(TOOL.glob("defense/*.py")), Path(split.__file__), *own]

    def key(self) -> str:
        """Return a digest of all that decides the result but seed and count."""
        kind = self.device.partition(":")[0]
        return digest_of([*self.sources(), self.subject.digest(), kind])

    def perform(self, threads: int) -> None:
        """Defend, measure and keep; for a process of its own."""
        torch.set_num_threads(threads)
        self.work.mkdir(parents=True, exist_ok=True)
        before = self._before()
        task = Task(
            subject=self.subject,
            samples=self.subject.clean_samples(self.samples, self.seed),
            seed=self.seed,
            device=self.device,
            work=self.work,
            stem=self.stem,
        )
        began = time.process_time()
        attempt = self.attempt(task)
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


@dataclass(frozen=True, kw_only=True)
class Exposure(_ExposedRun):
    """Unlearns, recovers and prunes, and keeps what that finds."""

    method: str = PRUNED

    @property
    def findings_file(self) -> Path:
        """Where masks and the pruned model are kept."""
        return self.file.with_suffix(".safetensors")

    def kept(self) -> Result | None:
        """Return the result of an earlier run whose findings are there, too."""
        result = super().kept()
        if result is None or not result.changed or self.findings_file.exists():
            return result
        return None

    def findings(self) -> Findings:
        """Read what was found."""
        return from_bytes(self.findings_file.read_bytes())

    def attempt(self, task: Task) -> Attempt:
        """Expose; the pruned model is a defended one, too."""
        made: list[Defended] = []

        def pruned(model: nn.Module, samples: Samples, *, seed: int) -> nn.Module:
            made.append(expose(model, samples, seed=seed))
            return made[0].model.eval()

        attempt = attempt_baseline(pruned, task)
        if attempt.model is None:
            return attempt
        (defended,) = made
        self.findings_file.write_bytes(findings_of(defended).to_bytes())
        masks = defended.masks.value.values()
        details = {
            "pruned": len(defended.pruned),
            "zero_masks": sum(int((mask == 0).sum()) for mask in masks),
            "channels": sum(len(mask) for mask in masks),
        }
        outcome = "done" if defended.pruned else "no safe threshold, nothing pruned"
        return Attempt(
            outcome=outcome,
            model=attempt.model,
            seconds=attempt.seconds,
            details=details,
        )


@dataclass(frozen=True, kw_only=True)
class Removal(_ExposedRun):
    """Runs a method of EXPOSED, after the exposure that it starts from."""

    SUFFIX: ClassVar[str] = "-exposed"

    @property
    def exposure(self) -> Exposure:
        """Return what it starts from."""
        return Exposure(
            subject=self.subject,
            samples=self.samples,
            seed=self.seed,
            work=self.work,
            device=self.device,
        )

    def sources(self) -> list[Path]:
        """Return those of the exposure, and of the method."""
        return [*super().sources(), *sources_of(Path(inspect.getfile(self._defend)))]

    def attempt(self, task: Task) -> Attempt:
        """Defend by what was exposed; where nothing was, there is no model."""
        exposed = self.exposure.kept()
        if exposed is None:
            raise RuntimeError(f"{self.exposure.file} is to be made first")
        if not exposed.changed:
            outcome = f"Nothing was exposed: {exposed.outcome}"
            return Attempt(outcome=outcome, model=None, seconds=0)
        defend = partial(self._defend, findings=self.exposure.findings())
        return attempt_baseline(defend, task)

    @property
    def _defend(self) -> Informed:
        return EXPOSED[self.method.removesuffix(self.SUFFIX)]
