"""Images of many files, a few at a time, and what is wrong with those that are none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rnp_cli.data.classifier import InputSpec
from rnp_cli.data.decode import decode
from rnp_cli.data.walk import Found
from rnp_cli.errors import InputRefused


@dataclass(frozen=True, eq=False)
class Batch:
    """Some files, and the images of those that could be read, in the same order.

    images: (count, channel, height, width), float32 in [0, 1]; None where no file of
    the batch could be read.
    """

    files: tuple[Found, ...]
    images: Tensor | None


def stream_images(
    files: Iterable[Found], spec: InputSpec, *, batch_size: int
) -> Iterator[Batch]:
    """Decode files as they come; never more than ``batch_size`` images are held.

    A file that is no image stops nothing: it comes back with the reason.
    """
    tried: list[Found] = []
    images: list[Tensor] = []
    for file in files:
        checked, image = _decoded(file, spec)
        tried.append(checked)
        images += [] if image is None else [image]
        if len(tried) == batch_size:
            yield _batch(tried, images)
            tried, images = [], []
    if tried:
        yield _batch(tried, images)


def _batch(files: list[Found], images: list[Tensor]) -> Batch:
    return Batch(tuple(files), torch.cat(images) if images else None)


def _decoded(file: Found, spec: InputSpec) -> tuple[Found, Tensor | None]:
    if file.refused is not None:
        return file, None
    try:
        image = decode(
            [file.path], channels=spec.channels, size=spec.size, fit=spec.fit
        )
    except InputRefused as error:
        return replace(file, refused=error.message.removeprefix(f"{file.path} ")), None
    return file, image
