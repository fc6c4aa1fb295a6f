"""Smaller batches, where the memory would not hold the usual ones.

On the CPU before the work, since the system ends a process that takes too much: what
gradients need is worked out from one image. On a CUDA GPU when its memory has run out;
then the work begins anew. All batches are halved alike, and the report's settings say
how large they were.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from rnp_cli.errors import UsageError
from rnp_cli.events import Listener, StageDone, StageStarted
from rnp_cli.machine import memory

STAGE = "memory"
_SMALLEST = 8  # images; the statistics of fewer say nothing
_SHARE = 0.5  # of the memory; the rest is for weights, samples and other programs

Request = TypeVar("Request", bound=BaseModel)
Result = TypeVar("Result")
Change = Mapping[str, Callable[[int], int]]


def within_gpu_memory(
    work: Callable[[Request], Result], request: Request, listen: Listener
) -> Result:
    """Return what ``work`` makes of the request, if need be with smaller batches.

    Raises UsageError where the smallest batches are too large as well.
    """
    while True:
        try:
            return work(request)
        except torch.OutOfMemoryError as failure:
            before = largest_batch(request)
            if before <= _SMALLEST:
                raise _too_small(failure) from None
        # Only here is the failure gone, and what its frames held of the memory.
        torch.cuda.empty_cache()
        request = _changed(request, {"batch_size": _half, "pixels_at_once": _half})
        now = largest_batch(request)
        _announce(f"it ran out with {before} images at once, now {now}", listen)


@contextmanager
def no_smaller() -> Iterator[None]:
    """Turn running out of a GPU's memory into an error, where no batch can shrink.

    Raises UsageError.
    """
    try:
        yield
    except torch.OutOfMemoryError as failure:
        raise _too_small(failure) from None


def within_cpu_memory(
    request: Request, model: nn.Module, image: Tensor, listen: Listener
) -> Request:
    """Return the request, with batches whose gradients the memory holds.

    image: (1, channel, height, width); nothing is done where it is not on the CPU.
    """
    if image.device.type != "cpu":
        return request
    most = _SHARE * memory()
    images = int(most / max(1, kept_for_gradients(model, image)))
    pixels = max(images, 1) * image.shape[2:].numel()
    fitting = _changed(request, {"pixels_at_once": lambda usual: min(usual, pixels)})
    while max(images, _SMALLEST) < largest_batch(fitting):
        fitting = _changed(fitting, {"batch_size": _half})
    if fitting != request:
        size = f"{most / 2**30:.1f} GiB"
        _announce(f"half of it, {size}, holds the gradients of {images} images", listen)
    return fitting


def _announce(summary: str, listen: Listener) -> None:
    listen(StageStarted(stage=STAGE))
    listen(StageDone(stage=STAGE, summary=summary))


def _too_small(failure: torch.OutOfMemoryError) -> UsageError:
    message = str(failure).partition("\n")[0]
    return UsageError(
        f"The GPU's memory does not hold what the work needs. {message}",
        hint="End what else runs there, or take --device cpu.",
    )


def kept_for_gradients(model: nn.Module, image: Tensor) -> int:
    """Return how many bytes one more image (1, ...) keeps until gradients are there."""
    trained = copy.deepcopy(model).requires_grad_(True)

    def kept(images: Tensor) -> int:
        sizes: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with saved_tensors_hooks(note, lambda tensor: tensor):
            _held = trained(images)  # with all that it keeps
        return sum(sizes.values())

    return kept(image.repeat(2, 1, 1, 1)) - kept(image.clone())  # not a large tensor's


def largest_batch(config: BaseModel) -> int:
    """Return the most images that any stage fits its weights to at once."""
    sizes = [0]
    for name, value in config:
        if isinstance(value, BaseModel):
            sizes.append(largest_batch(value))
        elif name == "batch_size":
            sizes.append(value)
    return max(sizes)


def _half(size: int) -> int:
    return max(size // 2, min(size, _SMALLEST))


def _changed(config: Request, change: Change) -> Request:
    """Return the config with these of its numbers changed, at any depth."""
    changed: dict[str, Any] = {}
    for name, value in config:
        if isinstance(value, BaseModel):
            changed[name] = _changed(value, change)
        elif name in change:
            changed[name] = change[name](value)
    return config.model_copy(update=changed)
