"""One recovery of a trigger by the tool, on the model or on what unlearning leaves."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict
from subjects import Subject
from subjects.subject import digest_of
from torch import Tensor

from harness import patch, tool
from harness.patch import SHOWN, overlap, shifted_overlap, true_mask
from harness.result import write
from harness.sources import tool_sources
from harness.tool import write_images
from harness.truth import single_target
from rnp_cli import RnpError
from rnp_cli.defense.score import clean_accuracy
from rnp_cli.pipeline.trigger import TriggerRequest, recover_triggers
from rnp_cli.report.triggers import RecoveredInfo, TriggerReport

On = Literal["original", "unlearned"]


class Recovered(BaseModel):
    """The trigger of the attack's own class, beside the true one. Shares in [0, 1].

    target: the class, None for "any other class", of an attack without a single one.
    overlap: the masks' intersection over union; 0 where no trigger was found. shifted:
    the same with the mask where it overlaps most, since a trigger learnt from cropped
    images works in other places, too. index: how far its mask lies below the other
    classes'. estimated: its success on the original model, wherever it was found.
    All of that is None where the recovery failed; outcome then says why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    attack: str
    on: On
    samples: int
    seed: int
    key: str
    target: int | None
    true_pixels: int
    true_success: float
    found: bool = False
    overlap: float | None = None
    shifted: float | None = None
    norm: float | None = None
    index: float | None = None
    estimated: float | None = None
    seconds: float = 0
    cpu_seconds: float = 0
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Which model's trigger to recover, and on what."""

    subject: Subject
    on: On
    samples: int
    seed: int
    work: Path
    device: str = "cpu"

    @property
    def file(self) -> Path:
        """Where the result is kept."""
        stem = f"{self.subject.name}-{self.samples}-{self.seed}-{self.on}"
        return self.work / f"{stem}.json"

    @property
    def mask_file(self) -> Path:
        """Where the recovered mask is kept, as a gray PNG."""
        return self.file.with_suffix(".png")

    def key(self) -> str:
        """Return a digest of all that decides the result but seed and count."""
        own = [Path(str(part)) for part in (__file__, patch.__file__, tool.__file__)]
        kind = self.device.partition(":")[0]
        return digest_of([*tool_sources(), *own, self.subject.digest(), kind])

    def kept(self) -> Recovered | None:
        """Return the result of an earlier run of the same code on the same model."""
        if not self.file.exists():
            return None
        result = Recovered.model_validate_json(self.file.read_text())
        if result.found and not self.mask_file.exists():
            return None
        return result if result.key == self.key() else None

    def mask(self) -> Tensor | None:
        """Return the mask (height, width) in [0, 1] that was recovered, if one was."""
        if not self.mask_file.exists():
            return None
        with Image.open(self.mask_file) as image:
            return torch.from_numpy(np.asarray(image) / 255)

    def died(self, code: int | None) -> Recovered:
        """Return the result of a process that left none."""
        return self._nothing(f"died with exit code {code}", true_pixels=0, success=0)

    def perform(self, threads: int) -> None:
        """Recover, compare and keep; for a process of its own."""
        torch.set_num_threads(threads)
        self.work.mkdir(parents=True, exist_ok=True)
        self.mask_file.unlink(missing_ok=True)
        folder = self.file.with_suffix(".work")
        samples = self.subject.clean_samples(self.samples, self.seed)
        request = TriggerRequest(
            model=self.subject.file,
            clean_dir=write_images(samples, folder / "clean"),
            on=self.on,
            output=folder / "triggers",
            seed=self.seed,
            device=self.device,
        )
        wall, cpu = time.perf_counter(), time.process_time()
        outcome, recovered = "done", None
        try:
            recovered = _of(_run(request, self.subject.arch), self._target())
            if recovered.found:
                shutil.copy(folder / "triggers" / recovered.files[1], self.mask_file)
        except RnpError as error:
            outcome = f"{error.exit_code.name.lower()}: {error.message}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        times = {
            "seconds": round(time.perf_counter() - wall, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
        }
        result = self._compared(outcome, recovered)
        write(self.file, result.model_copy(update=times))

    def _compared(self, outcome: str, found: RecoveredInfo | None) -> Recovered:
        true = true_mask(self.subject)
        triggered = self.subject.triggered_images()
        assert triggered is not None
        success = clean_accuracy(self.subject.network(), triggered)
        nothing = self._nothing(outcome, true_pixels=int(true.sum()), success=success)
        if found is None:
            return nothing
        mask = self.mask()
        shown = torch.zeros_like(true) if mask is None else mask >= SHOWN
        return nothing.model_copy(
            update={
                "found": found.found,
                "overlap": round(overlap(shown, true), 4),
                "shifted": round(shifted_overlap(shown, true), 4),
                "norm": round(found.norm, 2),
                "index": None if found.index is None else round(found.index, 2),
                "estimated": round(found.estimated_success, 4),
            }
        )

    def _target(self) -> int | None:
        return single_target(self.subject)

    def _nothing(self, outcome: str, *, true_pixels: int, success: float) -> Recovered:
        return Recovered(
            subject=self.subject.name,
            attack=str(self.subject.attack),
            on=self.on,
            samples=self.samples,
            seed=self.seed,
            key=self.key(),
            target=self._target(),
            true_pixels=true_pixels,
            true_success=round(success, 4),
            outcome=outcome,
        )


def _run(request: TriggerRequest, arch: str | None) -> TriggerReport:
    """Run the tool; the architecture is named only where it asks for it."""
    try:
        return recover_triggers(request)
    except RnpError as error:
        if "--arch" not in error.hint or arch is None:
            raise
    return recover_triggers(request.model_copy(update={"arch": arch}))


def _of(report: TriggerReport, target: int | None) -> RecoveredInfo:
    return next(trigger for trigger in report.triggers if trigger.target == target)
