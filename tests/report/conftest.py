"""Reports as a run could have written them, and the golden files beside the tests."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import made_reports
import pytest
from rich.console import Console, RenderableType

from rnp_cli.report import sanitization, schema
from rnp_cli.report.detection import Detection, MarginInfo, TriggerInfo, VerdictInfo
from rnp_cli.report.filtering import Filtering
from rnp_cli.report.triggers import TriggerReport

GOLDEN = Path(__file__).with_name("golden")
MakeReport = Callable[..., sanitization.Report]


def verdict(**changes: Any) -> VerdictInfo:
    """Strong evidence against class 2; ``changes`` replace parts of it."""
    parts = {
        "level": "strong",
        "kind": "all-to-one",
        "target": 2,
        "family": "overlay",
        "index": 6.1,
        "p_inversion": 0.0005,
        "p_label": 1 / 3,
        "p_margin": 0.004,
        "p_value": 0.0009,
    }
    return VerdictInfo.model_validate(parts | changes)


def pruning(**changes: Any) -> sanitization.PruningInfo:
    """Two channels that were pruned; ``changes`` replace parts of it."""
    parts = {
        "target": schema.TargetInfo(target=2, share=0.8, shares=(0.1, 0.1, 0.8)),
        "recover": (0.4, 0.7),
        "threshold": 0.05,
        "path": (
            sanitization.PathPoint(pruned=0, clean_accuracy=0.94),
            sanitization.PathPoint(pruned=2, clean_accuracy=0.92, success=0.02),
        ),
        "pruned": (
            sanitization.RankedChannel(
                rank=1, layer="layer4.1.bn2", channel=7, mask=0.0, score=3.21
            ),
            sanitization.RankedChannel(
                rank=2, layer="layer4.0.bn1", channel=411, mask=0.05, score=1.5
            ),
        ),
        "next_in_rank": (
            sanitization.RankedChannel(
                rank=3, layer="layer3.0.bn2", channel=12, mask=0.31, score=0.9
            ),
        ),
    }
    return sanitization.PruningInfo.model_validate(parts | changes)


def made(**changes: Any) -> sanitization.Report:
    """A report of a small run; ``changes`` replace whole parts of it."""
    parts: dict[str, Any] = {
        "tool_version": "0.1.0",
        "torch_version": "2.10.0",
        "device": "cpu (1 threads)",
        "seed": 0,
        "outcome": "pruned",
        "model": schema.ModelInfo(
            file="model.pt",
            sha256="ab" * 32,
            format="PyTorch zip",
            wrapper="state_dict",
            prefix="module.",
            dropped=("epoch",),
            findings=("1 class name was read as data and never imported.",),
            architecture="ResNet-18 (CIFAR)",
            matched_by="names",
            parameters=11_173_962,
            channels=4800,
        ),
        "input": schema.InputInfo(
            channels=3,
            size=(32, 32),
            fit="crop",
            convention="CIFAR-10",
            scale=1.0,
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2470, 0.2435, 0.2616),
            output="logits",
        ),
        "samples": schema.SampleInfo(
            count=500,
            fit=350,
            holdout=150,
            num_classes=3,
            class_names=("bird", "cat", "dog"),
            labels="folder",
            crop_padding=4,
            flip=True,
        ),
        "accuracy_before": schema.Accuracy.of(0.94, 500),
        "accuracy_after": schema.Accuracy.of(0.926, 500),
        "holdout_before": schema.Accuracy.of(0.94, 150),
        "holdout_after": schema.Accuracy.of(0.92, 150),
        "max_accuracy_drop": 0.02,
        "verdict": verdict(),
        "verdict_after": verdict(level="none", kind=None, target=None, p_value=0.7),
        "label": schema.TargetInfo(target=2, share=0.8, shares=(0.1, 0.1, 0.8)),
        "label_after": schema.TargetInfo(target=1, share=0.4, shares=(0.3, 0.4, 0.3)),
        "unlearn": schema.UnlearnInfo(
            floor=0.4,
            epochs=(
                schema.UnlearnEpoch(clean_accuracy=0.3, loss=4.2, learning_rate=0.01),
            ),
            backoffs=1,
        ),
        "unlearn_failure": None,
        "triggers": tuple(
            TriggerInfo(
                target=target, family="overlay", norm=norm, success=0.96, found=True
            )
            for target, norm in enumerate((40.0, 37.5, 4.2))
        ),
        "margins": tuple(
            MarginInfo(target=target, margin=margin)
            for target, margin in enumerate((4.13, 3.8, 11.62))
        ),
        "tried": (
            sanitization.TriedTrigger(
                family="overlay",
                size=4.2,
                success_before=0.96,
                success_after=0.02,
                size_after=71.3,
            ),
            sanitization.TriedTrigger(
                family="addition",
                size=0.031,
                success_before=0.9,
                success_after=0.04,
                size_after=None,
            ),
            sanitization.TriedTrigger(
                family="addition",
                size=0.07,
                success_before=0.9,
                success_after=0.01,
                size_after=None,
                wave=(0, 6),
            ),
        ),
        "pruning": pruning(),
        "repair": None,
        "outputs": (
            sanitization.OutputInfo(
                file="model.sanitized.safetensors",
                format="safetensors",
                tensors_sha256="cd" * 32,
            ),
            sanitization.OutputInfo(
                file="model.sanitized.onnx",
                format="ONNX",
                opset=20,
                tensors_sha256="ef" * 32,
            ),
        ),
        "not_checked": ("The attack success rate: no triggered image is known.",),
        "settings": {"holdout_share": 0.3, "unlearn": {"learning_rate": 0.01}},
        "run": schema.RunInfo(
            started="2025-01-01T00:00:00+00:00", seconds=1.5, stages={"read": 0.1}
        ),
    }
    return sanitization.Report(**(parts | changes))


@pytest.fixture
def make_report() -> MakeReport:
    return made


@pytest.fixture
def make_detection() -> Callable[..., Detection]:
    return partial(made_reports.detection, made())


@pytest.fixture
def make_triggers() -> Callable[..., TriggerReport]:
    return partial(made_reports.triggers, made())


@pytest.fixture
def make_filtering() -> Callable[..., Filtering]:
    return partial(made_reports.filtering, made())


@pytest.fixture
def make_pruning() -> Callable[..., sanitization.PruningInfo]:
    return pruning


@pytest.fixture
def make_verdict() -> Callable[..., VerdictInfo]:
    return verdict


@pytest.fixture
def rendered() -> Callable[..., str]:
    """Print something as on a terminal of 88 columns, without colors unless asked."""

    def render(what: RenderableType, *, colors: bool = False) -> str:
        out = io.StringIO()
        console = Console(
            file=out,
            width=88,
            force_terminal=colors,
            color_system="truecolor" if colors else None,
            legacy_windows=False,
        )
        console.print(what)
        return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())

    return render


@pytest.fixture
def check_golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare with a golden file, or write it with --update-golden."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return check
