"""Smaller batches, where the memory would not hold the usual ones.

On the CPU before the work, since the system ends a process that takes too much: what
gradients need is worked out from one image. On a GPU when its memory has run out. All
batches are halved alike, and the report's settings say how large they were.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from rnp_cli.errors import UsageError
from rnp_cli.events import Listener, StageDone, StageStarted

STAGE = "memory"
_SMALLEST = 8  # images; the statistics of fewer say nothing
_FEWEST_PIXELS = 2**14  # of an inversion's step: a row of 16 images of 32 x 32
_SHARE = 0.5  # of the memory; the rest is for weights, samples and other programs
_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container

Request = TypeVar("Request", bound=BaseModel)
Result = TypeVar("Result")


def within_gpu_memory(
    run: Callable[[Request], Result], request: Request, listen: Listener
) -> Result:
    """Return what ``run`` does, if need be with smaller batches and from its start.

    Raises UsageError where the smallest batches are too large as well.
    """
    while True:
        try:
            return run(request)
        except torch.OutOfMemoryError as failure:
            message = str(failure).partition("\n")[0]
        # Only here is the failure gone, and what its frames held of the memory.
        torch.cuda.empty_cache()
        smaller = halved(request)
        if smaller == request:
            raise UsageError(
                f"The GPU does not hold what the work needs. {message}",
                hint="End what else runs there, or take --device cpu.",
            )
        request = smaller
        _announce("the GPU's has run out", request, listen)


def within_cpu_memory(
    request: Request, model: nn.Module, image: Tensor, listen: Listener
) -> Request:
    """Return the request, with batches whose gradients the memory holds.

    image: (1, channel, height, width); nothing is done where it is not on the CPU.
    """
    if image.device.type != "cpu":
        return request
    each, most = kept_for_gradients(model, image), _SHARE * memory()
    fitting = request
    while largest_batch(fitting) * each > most and halved(fitting) != fitting:
        fitting = halved(fitting)
    if fitting != request:
        need = f"gradients take {each / 2**20:,.0f} MiB an image"
        _announce(f"{need}, and there are {most / 2**30:.1f} GiB", fitting, listen)
    return fitting


def _announce(why: str, request: BaseModel, listen: Listener) -> None:
    listen(StageStarted(stage=STAGE))
    count = largest_batch(request)
    listen(StageDone(stage=STAGE, summary=f"{why}: at most {count} images at once"))


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


def memory() -> int:
    """Return how many bytes the machine has, or the container; if unknown, no end."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", ()):
        return sys.maxsize
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _LIMIT.read_text().strip() if _LIMIT.exists() else ""
    return min(total, int(limit)) if limit.isdigit() else total


def largest_batch(config: BaseModel) -> int:
    """Return the most images that any stage takes at once."""
    sizes = [0]
    for name, value in config:
        if isinstance(value, BaseModel):
            sizes.append(largest_batch(value))
        elif name == "batch_size":
            sizes.append(value)
    return max(sizes)


def halved(config: Request) -> Request:
    """Return the config with half the batches, down to the smallest sensible ones."""
    smaller: dict[str, Any] = {}
    for name, value in config:
        if isinstance(value, BaseModel):
            smaller[name] = halved(value)
        elif name == "batch_size":
            smaller[name] = max(value // 2, min(value, _SMALLEST))
        elif name == "pixels_at_once":
            smaller[name] = max(value // 2, min(value, _FEWEST_PIXELS))
    return config.model_copy(update=smaller)
