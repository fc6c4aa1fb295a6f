from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from rnp_cli.errors import UsageError
from rnp_cli.events import Event, StageDone
from rnp_cli.pipeline import SanitizeRequest, memory
from rnp_cli.pipeline.detect import DetectRequest, detect
from rnp_cli.pipeline.memory import (
    halved,
    kept_for_gradients,
    largest_batch,
    within_cpu_memory,
    within_gpu_memory,
)

MIB = 2**20


@pytest.fixture
def asked(digits: Any) -> SanitizeRequest:
    return SanitizeRequest(model=digits.model, clean_dir=digits.clean)


def summaries(events: list[Event]) -> list[str]:
    return [e.summary for e in events if isinstance(e, StageDone)]


def test_what_an_image_keeps_is_what_its_gradients_read() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)
    )

    kept = kept_for_gradients(net, torch.rand(1, 3, 8, 8))

    assert kept == 4 * (3 * 64 + 8 * 64)  # the convolution's input, the ReLU's output


def test_batches_are_halved_alike_and_not_below_what_makes_sense(
    asked: SanitizeRequest,
) -> None:
    once = halved(asked)

    assert largest_batch(asked) == asked.defense.unlearn.batch_size == 128
    assert once.defense.unlearn.batch_size == once.defense.recover.batch_size == 64
    assert once.defense.repair.batch_size == 32
    before, after = asked.evidence.inversion, once.evidence.inversion
    assert after.pixels_at_once == before.pixels_at_once // 2
    assert after.images_per_class == before.images_per_class
    smallest = once
    while halved(smallest) != smallest:
        smallest = halved(smallest)
    assert smallest.defense.unlearn.batch_size == 8
    assert smallest.evidence.inversion.pixels_at_once > 0


def test_batches_fit_half_of_the_memory(
    asked: SanitizeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.ReLU())
    image = torch.rand(1, 1, 64, 64)  # keeps a mebibyte, and its own 16 KiB
    events: list[Event] = []

    monkeypatch.setattr(memory, "memory", lambda: 300 * MIB)
    assert within_cpu_memory(asked, net, image, events.append) == asked
    assert events == []

    monkeypatch.setattr(memory, "memory", lambda: 100 * MIB)
    fitting = within_cpu_memory(asked, net, image, events.append)
    assert largest_batch(fitting) == 32
    [summary] = summaries(events)
    assert summary.endswith("at most 32 images at once")


def test_the_memory_is_the_machines_or_a_containers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(memory, "_LIMIT", tmp_path / "memory.max")
    whole = memory.memory()
    assert whole > 2**28

    (tmp_path / "memory.max").write_text("max\n")
    assert memory.memory() == whole
    (tmp_path / "memory.max").write_text("1048576\n")
    assert memory.memory() == MIB


def test_a_full_gpu_gets_smaller_batches(asked: SanitizeRequest) -> None:
    events: list[Event] = []

    def run(request: SanitizeRequest) -> int:
        if largest_batch(request) > 32:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")
        return largest_batch(request)

    assert within_gpu_memory(run, asked, events.append) == 32
    assert [summary.partition(": ")[2] for summary in summaries(events)] == [
        "at most 64 images at once",
        "at most 32 images at once",
    ]


def test_a_gpu_that_is_too_small_for_any_batch_is_an_error(
    asked: SanitizeRequest,
) -> None:
    def run(request: SanitizeRequest) -> int:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    with pytest.raises(UsageError, match=r"CUDA out of memory\.$") as caught:
        within_gpu_memory(run, asked, [].append)
    assert "--device cpu" in caught.value.hint


def test_the_report_says_how_large_batches_were(
    digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "memory", lambda: 3 * MIB)
    events: list[Event] = []

    found = detect(
        DetectRequest(model=digits.model, clean_dir=digits.clean, device="cpu"),
        listen=events.append,
    )

    settings: Any = found.settings
    assert settings["unlearn"]["batch_size"] == 32
    assert "memory" in found.run.stages
    assert found.verdict.level != "none"
