"""The methods that are compared: the tool by its public API, and the baselines."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baselines import BASELINES, Baseline
from PIL import Image
from subjects import Subject
from torch import nn

from harness.sources import sources_of, tool_sources
from rnp_cli import Report, RnpError, SanitizeRequest, sanitize
from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of
from rnp_cli.errors import DefenseFailed


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a method gets: files and images, and no trigger. work: a folder to write to.

    stem: of the names of the files that are written there.
    """

    subject: Subject
    samples: Samples
    seed: int
    device: str
    work: Path
    stem: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Attempt:
    """What came of it. model: None where the method gave none."""

    outcome: str
    model: nn.Module | None
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Method:
    """A defence, and the files that decide what it does."""

    attempt: Callable[[Task], Attempt]
    sources: Callable[[], list[Path]]


def attempt_tool(task: Task) -> Attempt:
    """Run the tool by its defaults, from files to files.

    The architecture is named only where the tool asks for it.
    """
    clean = write_images(task.samples, task.work / f"{task.stem}.clean")
    request = SanitizeRequest(
        model=task.subject.file,
        clean_dir=clean,
        output=task.work / f"{task.stem}.sanitized.safetensors",
        force=True,
        device=task.device,
        seed=task.seed,
    )
    start = time.perf_counter()
    try:
        try:
            result = sanitize(request)
        except RnpError as error:
            if "--arch" not in error.hint or task.subject.arch is None:
                raise
            request = request.model_copy(update={"arch": task.subject.arch})
            start = time.perf_counter()
            result = sanitize(request)
    except RnpError as error:
        outcome = f"{error.exit_code.name.lower()}: {error.message}"
        seconds = time.perf_counter() - start
        return Attempt(outcome=outcome, model=None, seconds=seconds)
    seconds = time.perf_counter() - start
    model = task.subject.network(request.output) if result.state_dict else None
    return Attempt(
        outcome=result.report.outcome,
        model=model,
        seconds=seconds,
        details=_told(result.report) | {"arch": (request.arch or "").split("/")[-1]},
    )


def attempt_baseline(baseline: Baseline, task: Task) -> Attempt:
    """Run a baseline on the loaded model; one that ends in NaN has failed."""
    device = torch.device(task.device)
    model = task.subject.network().to(device)
    torch.manual_seed(task.seed)  # dropout draws from the global generator
    start = time.perf_counter()
    try:
        samples = task.samples.to(device)
        defended = baseline(model, samples, seed=task.seed)
        if not bool(torch.isfinite(logits_of(defended, samples.images)).all()):
            raise DefenseFailed("The model ended in NaN.")
    except DefenseFailed as error:
        seconds = time.perf_counter() - start
        return Attempt(outcome=error.message, model=None, seconds=seconds)
    seconds = time.perf_counter() - start
    return Attempt(outcome="done", model=defended, seconds=seconds)


def write_images(samples: Samples, folder: Path) -> Path:
    """Write ``folder/<class>/<number>.png``, lossless where samples have eight bits."""
    pixels = (samples.images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for number, label in enumerate(samples.labels.tolist()):
        file = folder / f"{label:02d}" / f"{number:04d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.squeeze(pixels[number])).save(file)
    return folder


def _told(report: Report) -> dict[str, Any]:
    return {
        "pruned": len(report.pruned),
        "channels": report.model.channels,
        "target": report.target.target,
        "share": round(report.target.share, 3),
    }


METHODS: Mapping[str, Method] = {
    "rnp": Method(attempt_tool, tool_sources),
    **{
        name: Method(
            partial(attempt_baseline, baseline),
            partial(sources_of, Path(inspect.getfile(baseline))),
        )
        for name, baseline in BASELINES.items()
    },
}
