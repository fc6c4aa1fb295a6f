"""One search for a backdoor: by the tool, or by Neural Cleanse.

What ``rnp detect`` says of a model ``rnp sanitize`` says, too, before it changes
anything: the same function of the same model, samples and seed. So where a run of
``defense.py`` by the same code has heard it, it is taken from there.

On a CPU, Neural Cleanse computes its convolutions in bfloat16 and channels-last, as the
baselines do; masks, patterns and logits stay in float32.
"""

from __future__ import annotations

import inspect
import json
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from baselines import neural_cleanse
from pydantic import BaseModel, ConfigDict
from subjects import Subject
from subjects.subject import digest_of

from harness.result import Result, write
from harness.run import Run
from harness.sources import sources_of, tool_sources
from harness.tool import write_images
from harness.truth import single_target
from rnp_cli import RnpError
from rnp_cli.pipeline.detect import DetectRequest, detect

Searcher = Literal["rnp", "neural-cleanse"]
CLEANSE_STEPS = 300
CLASSES = 10


class Found(BaseModel):
    """What one search said. score: the larger, the more suspect; None if it failed.

    outcome: "done", or why the search says nothing of the model. is_told: by a run of
    ``rnp sanitize``, which does not tell norms, and took other time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    attack: str | None
    true_target: int | None  # of an attack with one target
    searcher: Searcher
    samples: int
    seed: int
    key: str
    flagged: bool
    level: str
    kind: str | None
    target: int | None
    score: float | None
    p_value: float | None
    label_target: int | None
    norms: tuple[float, ...]
    seconds: float
    cpu_seconds: float
    outcome: str
    is_told: bool = False

    @property
    def is_done(self) -> bool:
        """Whether the search came to an end; otherwise it counts for nothing."""
        return self.outcome == "done"


@dataclass(frozen=True, kw_only=True)
class Search:
    """Which model to search, by what. told: the run that has heard it already."""

    subject: Subject
    searcher: Searcher
    samples: int
    seed: int
    work: Path
    device: str = "cpu"
    told: Result | None = None

    @property
    def file(self) -> Path:
        """Where the result is kept."""
        stem = f"{self.subject.name}-{self.samples}-{self.seed}-{self.searcher}"
        return self.work / f"{stem}.json"

    def key(self) -> str:
        """Return a digest of all that decides the result but seed and count."""
        baseline = Path(inspect.getfile(neural_cleanse))
        ours = self.searcher == "rnp"
        sources = tool_sources() if ours else sources_of(baseline)
        sources = [*sources, Path(__file__)]
        kind = self.device.partition(":")[0]
        return digest_of([*sources, self.subject.digest(), kind])

    def kept(self) -> Found | None:
        """Return the result of an earlier run of the same code on the same model."""
        if self.told is not None:
            return self._as_told(self.told)
        if not self.file.exists():
            return None
        record = json.loads(self.file.read_text())
        if record["key"] != self.key():  # other code may have kept other fields
            return None
        return Found.model_validate(record)

    def died(self, code: int | None) -> Found:
        """Return the result of a process that left none."""
        return self._nothing(f"died with exit code {code}", 0, 0)

    def perform(self, threads: int) -> None:
        """Search and keep; for a process of its own."""
        torch.set_num_threads(threads)
        self.work.mkdir(parents=True, exist_ok=True)
        wall, cpu = time.perf_counter(), time.process_time()
        found = self._search() if self.searcher == "rnp" else self._cleanse()
        times = {
            "seconds": round(time.perf_counter() - wall, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
        }
        write(self.file, found.model_copy(update=times))

    def _search(self) -> Found:
        images = self.file.with_suffix(".clean")
        try:
            samples = self.subject.clean_samples(self.samples, self.seed)
            request = DetectRequest(
                model=self.subject.file,
                clean_dir=write_images(samples, images),
                seed=self.seed,
                device=self.device,
                hear_all=True,
            )
            try:
                detection = detect(request)
            except RnpError as error:
                if "--arch" not in error.hint:
                    raise
                arch = self.subject.arch
                detection = detect(request.model_copy(update={"arch": arch}))
        except RnpError as error:
            return self._nothing(f"{error.exit_code.name}: {error.message}", 0, 0)
        finally:
            shutil.rmtree(images, ignore_errors=True)
        verdict, label = detection.verdict, detection.label
        return self._nothing("done", 0, 0).model_copy(
            update={
                "flagged": verdict.level != "none",
                "level": verdict.level,
                "kind": verdict.kind,
                "target": verdict.target,
                "score": -verdict.p_value,
                "p_value": verdict.p_value,
                "label_target": None if label is None else label.target,
                "norms": tuple(round(t.norm, 2) for t in detection.triggers),
            }
        )

    def _cleanse(self) -> Found:
        device = torch.device(self.device)
        samples = self.subject.clean_samples(self.samples, self.seed).to(device)
        model = self.subject.network().to(device)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.register_forward_hook(lambda _model, _inputs, logits: logits.float())
        is_cpu = device.type == "cpu"
        with torch.autocast(device.type, torch.bfloat16, enabled=is_cpu):
            anomaly = neural_cleanse.neural_cleanse(
                model,
                samples,
                classes=CLASSES,
                steps=CLEANSE_STEPS,
                seed=self.seed,
            )
        return self._nothing("done", 0, 0).model_copy(
            update={
                "flagged": anomaly.is_flagged,
                "level": "strong" if anomaly.is_flagged else "none",
                "target": anomaly.target if anomaly.is_flagged else None,
                "score": anomaly.index,
                "norms": tuple(round(norm, 2) for norm in anomaly.norms),
            }
        )

    def _as_told(self, told: Result) -> Found:
        said = told.details
        return self._nothing("done", 0, 0).model_copy(
            update={
                "flagged": said["verdict"] != "none",
                "level": said["verdict"],
                "kind": said["kind"],
                "target": said["target"],
                "score": -said["p_value"],
                "p_value": said["p_value"],
                "is_told": True,
            }
        )

    def _nothing(self, outcome: str, seconds: float, cpu_seconds: float) -> Found:
        return Found(
            subject=self.subject.name,
            attack=self.subject.attack,
            true_target=single_target(self.subject),
            searcher=self.searcher,
            samples=self.samples,
            seed=self.seed,
            key=self.key(),
            flagged=False,
            level="none",
            kind=None,
            target=None,
            score=None,
            p_value=None,
            label_target=None,
            norms=(),
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            outcome=outcome,
        )


def tell(searches: Iterable[Search], results: Iterable[Result]) -> list[Search]:
    """Give searches by the tool what runs of the same code on the same model heard."""
    heard = {
        (r.subject, r.samples, r.seed): r
        for r in results
        if r.method == "rnp" and "verdict" in r.details
    }
    told = []
    for search in searches:
        result = heard.get((search.subject.name, search.samples, search.seed))
        if result is None or search.searcher != "rnp" or result.key != _run_key(search):
            told.append(search)
        else:
            told.append(replace(search, told=result))
    return told


def _run_key(search: Search) -> str:
    """Return the key that a run of ``defense.py`` would have now."""
    run = Run(
        subject=search.subject,
        method="rnp",
        samples=search.samples,
        seed=search.seed,
        work=search.work,
        device=search.device,
    )
    return run.key()
