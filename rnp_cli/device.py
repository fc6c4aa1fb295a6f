"""Where the work runs, and how to make it run the same way twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rnp_cli.errors import UsageError

_SMALL_FLOPS = 10_000_000  # one image, forward; WRN-16-1 at 32x32 has 54 million


def choose_device(name: str) -> torch.device:
    """Turn auto, cpu, cuda, cuda:N or mps into a device that is there.

    MPS lacks some of the operators that warps need in some releases of torch, so that
    it is used only where it is named.
    Raises UsageError for one that is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "cuda" and (device.index or 0) < torch.cuda.device_count():
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and torch.backends.mps.is_available():
        return device
    if device.type == "cpu":
        return torch.device("cpu")
    raise UsageError(
        f"There is no device {name!r} on this machine.",
        hint="Use --device auto, or one of cpu, cuda, cuda:N and mps that is there.",
    )


def describe(device: torch.device) -> str:
    """Name a device for the report."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return str(device)


def has_quick_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16 faster than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False  # older releases of torch cannot tell
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def is_small(model: nn.Module, image: Tensor) -> bool:
    """Whether an operation of the network is over before it pays to hurry it.

    image: (1, channel, height, width). This depends on the network alone, so runs stay
    reproducible.
    """
    return flops(model, image) < _SMALL_FLOPS


def flops(model: nn.Module, image: Tensor) -> int:
    """Count what convolutions and matrix products compute for one image.

    A multiplication and an addition count as two. image: (1, channel, height, width).
    """
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(image)
    return counter.get_total_flops()


@contextmanager
def suitable_threads(model: nn.Module, image: Tensor) -> Iterator[None]:
    """Give a small network one thread, whatever the machine has; as before afterwards.

    Its operations are over before a second thread has woken up, and on a machine that
    is shared the two wait for each other most of the time. image: (1, channel, height,
    width).
    """
    before = torch.get_num_threads()
    if is_small(model, image):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generator, which dropout draws from; as before afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def reproducible() -> Iterator[None]:
    """Ask cuDNN for the same algorithms each time; as before afterwards."""
    backend = torch.backends.cudnn
    before = backend.deterministic, backend.benchmark
    backend.deterministic, backend.benchmark = True, False
    try:
        yield
    finally:
        backend.deterministic, backend.benchmark = before
