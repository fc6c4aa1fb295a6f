"""One mixed folder sorted into clean and triggered images: by the tool, or by STRIP.

"rnp" asks unlearned models, "rnp-sanitized" what the tool has made of the model; its
seconds hold the sanitization only where no earlier run has kept what it wrote.
"""

from __future__ import annotations

import inspect
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from baselines import strip
from pydantic import BaseModel, ConfigDict
from subjects import Subject
from subjects.subject import digest_of
from torch import Tensor

from harness import tool
from harness.result import write
from harness.run import Run
from harness.sources import sources_of, tool_sources
from harness.tool import write_images
from rnp_cli import RnpError, SanitizeRequest, sanitize
from rnp_cli.defense.samples import Samples
from rnp_cli.errors import DefenseFailed
from rnp_cli.pipeline.filter import filter_suspects
from rnp_cli.pipeline.filter_request import FilterRequest
from rnp_cli.pipeline.request import ModelRequest

Sorter = Literal["rnp", "rnp-sanitized", "strip"]
RATES = (0.01, 0.05)
TRIGGERED = 0.1  # their share of the folder


class Rates(BaseModel):
    """What happens at one false-positive rate.

    found: the share of triggered images above the score that exactly this share of the
    clean ones exceeds. flagged and false: the shares of triggered and of clean images
    that are called suspect by what the clean samples say, with no image of the folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float
    found: float | None
    flagged: float | None
    false: float


class Sorted(BaseModel):
    """How well one sorter told them apart. auroc: None for a clean model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    attack: str | None
    sorter: Sorter
    samples: int
    seed: int
    key: str
    clean: int
    triggered: int
    auroc: float | None
    rates: tuple[Rates, ...]
    seconds: float
    cpu_seconds: float
    outcome: str


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores, and p-values of clean samples' scores; high scores are suspect."""

    scores: Tensor
    p_values: Tensor


@dataclass(frozen=True, kw_only=True)
class Sorting:
    """Which model's images to sort, by what, and how many.

    defended: the tool's run with the same samples and seed, if it may be kept.
    """

    subject: Subject
    sorter: Sorter
    samples: int
    images: int
    seed: int
    work: Path
    device: str = "cpu"
    defended: Run | None = None

    @property
    def file(self) -> Path:
        """Where the result is kept."""
        stem = f"{self.subject.name}-{self.samples}-{self.seed}-{self.sorter}"
        return self.work / f"{stem}.json"

    def key(self) -> str:
        """Return a digest of all that decides the result but seed and count."""
        ours = self.sorter != "strip"
        baseline = Path(inspect.getfile(strip))
        sources = tool_sources() if ours else sources_of(baseline)
        sources = [*sources, Path(__file__), Path(tool.__file__)]
        kind = self.device.partition(":")[0]
        return digest_of([*sources, self.subject.digest(), str(self.images), kind])

    def kept(self) -> Sorted | None:
        """Return the result of an earlier run of the same code on the same model."""
        if not self.file.exists():
            return None
        found = Sorted.model_validate_json(self.file.read_text())
        return found if found.key == self.key() else None

    def died(self, code: int | None) -> Sorted:
        """Return the result of a process that left none."""
        return self._result(None, f"died with exit code {code}")

    def perform(self, threads: int) -> None:
        """Score the images and keep how it went; for a process of its own."""
        torch.set_num_threads(threads)
        self.work.mkdir(parents=True, exist_ok=True)
        clean, triggered = self.mixed()
        images = torch.cat([clean, triggered])
        wall, cpu = time.perf_counter(), time.process_time()
        outcome, scores = "done", None
        try:
            is_strip = self.sorter == "strip"
            scores = self._strip(images) if is_strip else self._tool(images)
        except RnpError as error:
            outcome = f"{error.exit_code.name.lower()}: {error.message}"
        times = {
            "seconds": round(time.perf_counter() - wall, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
        }
        result = self._result(scores, outcome, len(clean), len(triggered))
        write(self.file, result.model_copy(update=times))

    def mixed(self) -> tuple[Tensor, Tensor]:
        """Draw clean test images, and triggered ones, a tenth of all."""
        generator = torch.Generator().manual_seed(self.seed)
        test, bad = self.subject.test_images(), self.subject.triggered_images()
        share = 0.0 if bad is None else TRIGGERED
        count = min(
            self.images,
            int(len(test) / (1 - share)),
            self.images if bad is None else int(len(bad) / share),
        )
        triggered = round(share * count)
        order = torch.randperm(len(test), generator=generator)
        clean = test.images[order[: count - triggered]]
        if bad is None:
            return clean, clean[:0]
        order = torch.randperm(len(bad), generator=generator)
        return clean, bad.images[order[:triggered]]

    def _tool(self, images: Tensor) -> Scores:
        folder = self.file.with_suffix(".work")
        samples = self.subject.clean_samples(self.samples, self.seed)
        labels = torch.zeros(len(images), dtype=torch.int64)
        try:
            request = FilterRequest(
                model=self.subject.file,
                clean_dir=write_images(samples, folder / "clean"),
                suspects=write_images(Samples(images, labels), folder / "suspects"),
                output=folder / "rows.jsonl",
                seed=self.seed,
                device=self.device,
            )
            try:
                self._filter(request, folder)
            except RnpError as error:
                if "--arch" not in error.hint:
                    raise
                named = request.model_copy(update={"arch": self.subject.arch})
                self._filter(named, folder)
            lines = (folder / "rows.jsonl").read_text().splitlines()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        rows = [json.loads(line) for line in lines]
        rows.sort(key=lambda row: str(row["file"]))  # as they were written
        return Scores(
            torch.tensor([row["score"] for row in rows]).double(),
            torch.tensor([row["p_value"] for row in rows]).double(),
        )

    def _filter(self, request: FilterRequest, folder: Path) -> None:
        """Run the filter, after a sanitization where that is to be asked."""
        if self.sorter == "rnp-sanitized":
            made = self._kept_model() or self._sanitized(request, folder)
            request = request.model_copy(update={"sanitized": made})
        filter_suspects(request)

    def _kept_model(self) -> Path | None:
        """Return what an earlier run wrote, if it is of the code as it is now."""
        result = None if self.defended is None else self.defended.kept()
        if self.defended is None or result is None:
            return None
        made = self.defended.work / f"{self.defended.stem}.sanitized.safetensors"
        if not result.changed:
            raise DefenseFailed(f"Nothing to ask: {result.outcome}.")
        return made if made.exists() else None

    def _sanitized(self, request: FilterRequest, folder: Path) -> Path:
        made = folder / "made.safetensors"
        shared = ModelRequest.model_fields.keys()
        same = {name: getattr(request, name) for name in shared}
        result = sanitize(SanitizeRequest(**same, outputs=(made,), force=True))
        if result.state_dict is None:
            raise DefenseFailed(f"Nothing to ask: {result.report.outcome}.")
        return made

    def _strip(self, images: Tensor) -> Scores:
        device = torch.device(self.device)
        model = self.subject.network().to(device)
        samples = self.subject.clean_samples(self.samples, self.seed).to(device)
        scores = -strip.entropies(model, samples, images.to(device), seed=self.seed)
        usual = -strip.entropies(model, samples, samples.images, seed=self.seed)
        above = (usual[None] >= scores[:, None]).sum(1)
        return Scores(scores, (above + 1) / (len(usual) + 1))

    def _result(
        self, found: Scores | None, outcome: str, clean: int = 0, triggered: int = 0
    ) -> Sorted:
        return Sorted(
            subject=self.subject.name,
            attack=self.subject.attack,
            sorter=self.sorter,
            samples=self.samples,
            seed=self.seed,
            key=self.key(),
            clean=clean,
            triggered=triggered,
            auroc=None if found is None else auroc(*found.scores.tensor_split([clean])),
            rates=() if found is None else rates(found, clean),
            seconds=0,
            cpu_seconds=0,
            outcome=outcome,
        )


def auroc(clean: Tensor, triggered: Tensor) -> float | None:
    """Return how often a triggered image has the higher score; ties count half."""
    if not len(triggered):
        return None
    above = (triggered[:, None] > clean).double().mean()
    equal = (triggered[:, None] == clean).double().mean()
    return round(float(above + equal / 2), 4)


def rates(found: Scores, clean: int) -> tuple[Rates, ...]:
    """Measure at each of RATES; the first ``clean`` images are clean."""
    usual, suspect = found.scores[:clean], found.scores[clean:]
    measured = []
    for rate in RATES:
        flagged = found.p_values <= rate
        allowed = usual.sort(descending=True).values[int(rate * clean)]
        measured.append(
            Rates(
                rate=rate,
                found=_share(suspect > allowed),
                flagged=_share(flagged[clean:]),
                false=_share(flagged[:clean]) or 0.0,
            )
        )
    return tuple(measured)


def _share(which: Tensor) -> float | None:
    return round(which.double().mean().item(), 4) if len(which) else None
