"""Where the work runs, and how to make it run the same way twice."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rnp_cli.errors import UsageError

_LAUNCHES = 3  # before a recording: libraries set themselves up, optimizers as well
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


class Replayed:
    """Does the same work again and again; a CUDA GPU replays what it did once.

    To launch the operations of a small batch one by one takes several times as long as
    they do. So the first few times they are launched, then recorded as a CUDA graph,
    and replayed from then on. The work must do the same each time on tensors that stay
    in their place. What waits for the GPU, as a network of the user's own may, cannot
    be recorded, and is launched each time.
    """

    _broken_off: ClassVar[list[torch.cuda.CUDAGraph]] = []  # torch still refers to it

    def __init__(self, work: Callable[[], None], device: torch.device) -> None:
        """Do nothing yet."""
        self._work = work
        self._stream = _side_stream(device) if device.type == "cuda" else None
        self._launches: float = math.inf if self._broken_off else _LAUNCHES
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Do it once."""
        if self._stream is None:
            self._work()
            return
        others = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(others)
        try:
            with torch.cuda.stream(self._stream):  # all on one, or it is not recorded
                self._on_stream()
        finally:
            others.wait_stream(self._stream)

    def _on_stream(self) -> None:
        if self._graph is None and self._launches <= 0:
            self._record()
        if self._graph is not None:
            self._graph.replay()
            return
        self._launches -= 1
        if self._launches:
            self._work()
        elif _waits(self._work):
            self._launches = math.inf

    def _record(self) -> None:
        """Record it, or see to it that none is recorded again.

        A recording that breaks off leaves torch's allocator with less than it needs.
        """
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # of what the launches and earlier graphs have left
        try:
            graph.capture_begin()
            try:
                self._work()
            except BaseException:
                with suppress(RuntimeError):
                    graph.capture_end()
                raise
            graph.capture_end()
        except RuntimeError:
            self._broken_off.append(graph)
            self._launches = math.inf
        else:
            self._graph = graph


def _waits(work: Callable[[], None]) -> bool:
    """Do the work, and return whether it waited for the GPU."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode(before)
    return any("called a synchronizing" in str(warning.message) for warning in said)


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Return one for all recordings: memory is kept for each stream apart."""
    return torch.cuda.Stream(device)
