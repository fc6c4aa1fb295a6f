"""The tool as a method: by its public API, from files to files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness.ablations import Change
from harness.method import Attempt, Task
from rnp_cli import Report, RnpError, SanitizeRequest, sanitize
from rnp_cli.defense.rnp import DefenseConfig
from rnp_cli.defense.samples import Samples
from rnp_cli.evidence.config import EvidenceConfig
from rnp_cli.pipeline.request import Method as Way


def attempt_tool(
    task: Task, way: Way = "rnp+repair", change: Change | None = None
) -> Attempt:
    """Run the tool by its defaults, from files to files.

    way: its ``--method``. change: of its configuration. The architecture is named only
    where the tool asks for it.
    """
    clean = write_images(task.samples, task.work / f"{task.stem}.clean")
    request = SanitizeRequest(
        model=task.subject.file,
        clean_dir=clean,
        outputs=(task.work / f"{task.stem}.sanitized.safetensors",),
        force=True,
        device=task.device,
        seed=task.seed,
        method=way,
        **configured(change or {}),
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
    model = task.subject.network(request.outputs[0]) if result.state_dict else None
    return Attempt(
        outcome=result.report.outcome,
        model=model,
        seconds=seconds,
        details=_told(result.report) | {"arch": (request.arch or "").split("/")[-1]},
    )


def configured(change: Change) -> dict[str, DefenseConfig | EvidenceConfig]:
    """Return what of a request is changed; whose table it is tells which part."""
    parts: dict[str, Any] = {"defense": DefenseConfig, "evidence": EvidenceConfig}
    return {
        name: config.model_validate(
            {k: v for k, v in change.items() if k in config.model_fields}
        )
        for name, config in parts.items()
    }


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
        "verdict": report.verdict.level,
        "kind": report.verdict.kind,
        "target": report.verdict.target,
        "p_value": report.verdict.p_value,
        "left": list(report.left),
        "rounds": report.rounds,
    }
