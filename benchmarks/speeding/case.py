"""One network with its images on disk, as the tool gets them, and one timing of it."""

from __future__ import annotations

import resource
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from harness.result import write
from harness.sources import tool_sources
from harness.tool import write_images
from pydantic import BaseModel, ConfigDict
from safetensors.torch import save_file
from subjects.subject import Subject, digest_of
from zoo.networks import MEAN, STD

from rnp_cli import SanitizeRequest, sanitize
from rnp_cli.cli.allocator import keep_freed_memory
from rnp_cli.defense.samples import Samples
from rnp_cli.events import ignore
from rnp_cli.pipeline.opening import OpenedModel, read_model, with_samples
from rnp_cli.pipeline.request import Method
from speeding import authors
from speeding.classes import divided
from speeding.counting import Kind, counting
from speeding.floor import seconds_per_image
from speeding.models import CLASSES, TIMED, with_skill

_PASSES = 3


class Timing(BaseModel):
    """Seconds of one run, and of what it is held against; all in one process.

    stages, floors: of the tool's run, by stage. floor: of all of it. authors: of the
    published procedure, None where it was not asked for. images: through the network,
    by stage and kind. peak_mib: of the process; sums everything that it ran.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    classes: int = CLASSES
    samples: int
    method: str
    device: str
    number: int
    key: str
    outcome: str
    parameters: int
    seconds: float
    floor: float
    stages: dict[str, float]
    floors: dict[str, float]
    images: dict[str, int]
    authors: float | None
    peak_mib: int


@dataclass(frozen=True, kw_only=True)
class Case:
    """What to time. network: of ``TIMED``, or the subject's own where it is not.

    subject: whose clean samples are taken. number: of the repetition. classes: that a
    network of ``TIMED`` gets; more than the images have are parts of theirs.
    """

    network: str
    subject: Subject
    samples: int
    method: Method
    device: str
    number: int
    work: Path
    with_authors: bool
    classes: int = CLASSES

    @property
    def file(self) -> Path:
        """Where the timing is kept."""
        name = f"{self._stem}-{self.method}-{self.number}.json"
        return self.work / self.device.partition(":")[0] / name

    @property
    def _stem(self) -> str:
        classes = f"{self.classes}-classes-" if self.classes != CLASSES else ""
        return f"{self.network}-{classes}{self.samples}"

    def key(self) -> str:
        """Return a digest of all that is timed."""
        own = sorted(Path(__file__).parent.glob("*.py"))
        return digest_of([*tool_sources(), *own, str(self.with_authors)])

    def kept(self) -> Timing | None:
        """Return the timing of an earlier process of the same code."""
        if not self.file.exists():
            return None
        timing = Timing.model_validate_json(self.file.read_text())
        return timing if timing.key == self.key() else None

    def died(self, code: int | None) -> Timing:
        """End: there is no timing to go on with."""
        raise SystemExit(f"{self.network} ended with exit code {code}.")

    def perform(self, threads: int) -> None:
        """Time the floor, the tool, the authors' way, and the floor again; keep it."""
        torch.set_num_threads(threads)
        keep_freed_memory()  # as ``rnp`` does
        request = self._request()
        opened = with_samples(read_model(request, ignore), request, ignore)
        before = self._costs(opened)
        with counting() as counts:
            began = time.perf_counter()
            result = sanitize(request, listen=counts.listen)
            seconds = time.perf_counter() - began
        theirs = self._authors(opened) if self.with_authors else None
        after = self._costs(opened)
        floors: dict[str, float] = {}
        for (stage, kind), count in counts.images.items():
            cost = (before[kind] + after[kind]) / 2
            floors[stage] = floors.get(stage, 0.0) + count * cost
        timing = Timing(
            network=self.network,
            classes=self.classes,
            samples=result.report.samples.count,
            method=self.method,
            device=result.report.device,
            number=self.number,
            key=self.key(),
            outcome=result.report.outcome,
            parameters=result.report.model.parameters,
            seconds=round(seconds, 2),
            floor=round(sum(floors.values()), 2),
            stages=result.report.run.stages,
            floors={stage: round(value, 2) for stage, value in floors.items()},
            images={f"{s} {k}": n for (s, k), n in sorted(counts.images.items())},
            authors=theirs,
            peak_mib=_peak_mib(),
        )
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write(self.file, timing)

    def _request(self) -> SanitizeRequest:
        """Write what the tool reads, and ask for it."""
        samples = self.subject.clean_samples(self.samples, seed=0)
        folder = self.work / f"{self._stem}.clean"
        shutil.rmtree(folder, ignore_errors=True)  # other images, of another draw
        most = max(2, self.samples)
        if self.network not in TIMED:
            return SanitizeRequest(
                model=self.subject.file,
                clean_dir=write_images(samples, folder),
                max_samples=most,
                arch=self.subject.arch,
                device=self.device,
                method=self.method,
            )
        size = TIMED[self.network].size
        samples = divided(samples, self.classes)
        images = F.interpolate(samples.images, size=(size, size), mode="nearest")
        shape = (1, 3, 1, 1)
        mean, std = torch.tensor(MEAN).view(shape), torch.tensor(STD).view(shape)
        samples = Samples(images, samples.labels)
        model = with_skill(self.network, samples, mean, std, classes=self.classes)
        file = self.work / f"{self._stem}.safetensors"
        save_file(model.state_dict(), file)
        return SanitizeRequest(
            model=file,
            clean_dir=write_images(samples, folder),
            max_samples=most,
            arch=TIMED[self.network].arch,
            input_size=(size, size),
            mean=MEAN,
            std=STD,
            device=self.device,
            method=self.method,
            when="always",
        )

    def _costs(self, opened: OpenedModel) -> dict[Kind, float]:
        samples = opened.clean.samples
        return seconds_per_image(
            opened.working(), samples.images, samples.labels, passes=_PASSES
        )

    def _authors(self, opened: OpenedModel) -> float:
        parts = opened.split(0.3, seed=0)
        convention = opened.clean.spec.convention
        shape = (1, -1, 1, 1)
        mean = torch.tensor(convention.mean).view(shape) / convention.scale
        std = torch.tensor(convention.std).view(shape) / convention.scale
        network = opened.clean.classifier.network
        began = time.perf_counter()
        authors.defend(network, opened.clean.samples, parts.holdout, mean, std)
        return round(time.perf_counter() - began, 2)


def _peak_mib() -> int:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20
