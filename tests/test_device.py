from __future__ import annotations

import pytest
import torch

from rnp_cli.device import (
    Replayed,
    choose_device,
    describe,
    has_quick_bfloat16,
    reproducible,
)
from rnp_cli.errors import UsageError


def test_auto_is_a_device_that_works() -> None:
    device = choose_device("auto")

    assert torch.ones(2, device=device).sum().item() == 2


def test_a_torch_that_cannot_tell_is_not_hurried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)

    assert not has_quick_bfloat16(torch.device("cpu"))
    assert not has_quick_bfloat16(torch.device("mps"))


@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_the_cpu_is_always_there(name: str) -> None:
    device = choose_device(name)

    assert device == torch.device("cpu")
    assert describe(device).startswith("cpu (1 thread")


@pytest.mark.parametrize("name", ["cuda:99", "meta", "abacus", "", "cpu:x", "cuda:-1"])
def test_a_device_that_is_not_there_is_an_error_of_the_user(name: str) -> None:
    with pytest.raises(UsageError, match="no device") as error:
        choose_device(name)

    assert "--device auto" in error.value.hint


@pytest.mark.parametrize("before", [(True, False), (False, True)])
def test_cudnn_is_deterministic_inside_and_as_before_outside(
    before: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = torch.backends.cudnn
    monkeypatch.setattr(backend, "deterministic", before[0])
    monkeypatch.setattr(backend, "benchmark", before[1])

    def fail() -> None:
        with reproducible():
            assert (backend.deterministic, backend.benchmark) == (True, False)
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert (backend.deterministic, backend.benchmark) == before


def test_without_a_gpu_work_is_simply_done_each_time() -> None:
    done: list[str] = []
    work = Replayed(lambda: done.append("once"), torch.device("cpu"))

    for _ in range(7):
        work()

    assert len(done) == 7
