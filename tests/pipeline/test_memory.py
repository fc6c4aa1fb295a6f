from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnp_cli.defense import ascent
from rnp_cli.defense.augment import augment
from rnp_cli.errors import UsageError
from rnp_cli.events import Event, StageDone
from rnp_cli.evidence.config import EvidenceConfig
from rnp_cli.evidence.inversion import InversionConfig
from rnp_cli.pipeline import SanitizeRequest, filter, memory, sanitize
from rnp_cli.pipeline.detect import DetectRequest, detect
from rnp_cli.pipeline.filter import filter_suspects
from rnp_cli.pipeline.filter_request import FilterRequest
from rnp_cli.pipeline.memory import (
    kept_for_gradients,
    largest_batch,
    within_cpu_memory,
    within_gpu_memory,
)
from rnp_cli.pipeline.trigger import TriggerRequest, recover_triggers

MIB = 2**20
HASTY = EvidenceConfig(inversion=InversionConfig(steps=2))


@pytest.fixture
def asked(digits: Any) -> SanitizeRequest:
    return SanitizeRequest(model=digits.model, clean_dir=digits.clean)


@pytest.fixture
def small_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlearning runs out of memory with more than 32 images at once."""

    def bounded(images: Tensor, *args: Any) -> Tensor:
        if len(images) > 32:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")
        return augment(images, *args)

    monkeypatch.setattr(ascent, "augment", bounded)


def summaries(events: list[Event]) -> list[str]:
    return [
        event.summary
        for event in events
        if isinstance(event, StageDone) and event.stage == "memory"
    ]


def too_much(_request: Any) -> int:
    raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")


def test_what_an_image_keeps_is_what_its_gradients_read() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)
    )
    many = torch.rand(100, 3, 8, 8)

    for image in (many[:1], many[:1].clone()):
        kept = kept_for_gradients(net, image)
        assert kept == 4 * (3 * 64 + 8 * 64)  # input of the convolution, then ReLU's


def test_batches_fit_half_of_the_memory(
    asked: SanitizeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.ReLU())
    image = torch.rand(1, 1, 64, 64)  # keeps a mebibyte, and its own 16 KiB
    events: list[Event] = []

    monkeypatch.setattr(memory, "memory", lambda: 600 * MIB)
    assert within_cpu_memory(asked, net, image, events.append) == asked
    assert events == []

    monkeypatch.setattr(memory, "memory", lambda: 100 * MIB)
    fitting = within_cpu_memory(asked, net, image, events.append)
    defense = fitting.defense
    assert defense.unlearn.batch_size == defense.recover.batch_size == 32
    assert defense.repair.batch_size == 16
    assert fitting.evidence.inversion.pixels_at_once == 49 * 64 * 64
    [summary] = summaries(events)
    assert summary == "half of it, 0.0 GiB, holds the gradients of 49 images"

    monkeypatch.setattr(memory, "memory", lambda: 4 * MIB)
    assert largest_batch(within_cpu_memory(asked, net, image, events.append)) == 8


def test_a_full_gpu_gets_smaller_batches(asked: SanitizeRequest) -> None:
    events: list[Event] = []

    def work(request: SanitizeRequest) -> SanitizeRequest:
        return request if largest_batch(request) <= 32 else too_much(request)

    done = within_gpu_memory(work, asked, events.append)

    assert largest_batch(done) == done.defense.unlearn.batch_size == 32
    before, after = asked.evidence.inversion, done.evidence.inversion
    assert after.pixels_at_once == before.pixels_at_once // 4
    assert after.images_per_class == before.images_per_class
    assert summaries(events) == [
        "it ran out with 128 images at once, now 64",
        "it ran out with 64 images at once, now 32",
    ]


def test_a_gpu_that_is_too_small_for_any_batch_is_an_error(
    asked: SanitizeRequest,
) -> None:
    with pytest.raises(UsageError, match=r"CUDA out of memory\.$") as caught:
        within_gpu_memory(too_much, asked, [].append)
    assert "--device cpu" in caught.value.hint


def test_detect_goes_on_and_its_report_says_how(digits: Any, small_gpu: None) -> None:
    request = DetectRequest(
        model=digits.model, clean_dir=digits.clean, device="cpu", evidence=HASTY
    )

    found = detect(request)

    settings: Any = found.settings
    assert settings["unlearn"]["batch_size"] == 32
    assert "memory" in found.run.stages
    assert found.verdict.target == 7


def test_sanitize_goes_on_and_its_report_says_how(
    stuck_request: SanitizeRequest, small_gpu: None
) -> None:
    report = sanitize(stuck_request).report

    settings: Any = report.settings
    assert settings["unlearn"]["batch_size"] == 32
    assert "memory" in report.run.stages


def test_trigger_goes_on_and_its_report_says_how(digits: Any, small_gpu: None) -> None:
    request = TriggerRequest(
        model=digits.model,
        clean_dir=digits.clean,
        device="cpu",
        evidence=HASTY,
        targets=(7,),
        on="unlearned",
    )

    report = recover_triggers(request)

    settings: Any = report.settings
    assert settings["unlearn"]["batch_size"] == 32
    assert "memory" in report.run.stages


@pytest.fixture
def suspects(digits: Any, tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "one.png").write_bytes(next(digits.clean.rglob("*.png")).read_bytes())
    return {
        "model": digits.model,
        "clean_dir": digits.clean,
        "device": "cpu",
        "suspects": folder,
    }


def test_filter_goes_on_and_its_report_says_how(
    suspects: dict[str, Any], small_gpu: None
) -> None:
    report = filter_suspects(FilterRequest(**suspects))

    assert report.settings["unlearn"]["batch_size"] == 32
    assert "memory" in report.run.stages


def test_filter_begins_nothing_anew_once_images_are_scored(
    suspects: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def full(*args: Any) -> Callable[..., None]:
        calls.append(args)
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(filter, "_score", full)
    with pytest.raises(UsageError, match="does not hold"):
        filter_suspects(FilterRequest(**suspects))
    assert len(calls) == 1


def test_the_cpus_memory_decides_before_the_work(
    digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "memory", lambda: 3 * MIB)
    request = DetectRequest(model=digits.model, clean_dir=digits.clean, device="cpu")

    found = detect(request)

    settings: Any = found.settings
    assert settings["unlearn"]["batch_size"] == 32
    assert found.verdict.level != "none"
