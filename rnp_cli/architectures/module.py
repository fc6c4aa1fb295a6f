"""Fit a checkpoint to a module whose code is not ours: the user's, or a library's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import nn

from rnp_cli.architectures.architecture import Architecture
from rnp_cli.architectures.compare import difference
from rnp_cli.architectures.match import guess_size
from rnp_cli.architectures.refusal import unsuitable
from rnp_cli.architectures.shapes import Shapes
from rnp_cli.errors import UsageError

_IMAGE_CHANNELS = (1, 3, 4)


def match_module(
    name: str, build: Callable[[], nn.Module], shapes: Shapes
) -> tuple[Architecture, ...]:
    """Return the architecture, once for each kind of image that the module takes.

    The checkpoint must hold exactly the module's names and shapes, after a prefix at
    most. Raises UsageError where the module cannot be built and InputRefused where
    the checkpoint does not fit it.
    """
    module = build_module(name, build)
    wanted = Shapes.of(module.state_dict())
    compared = [
        (difference(shapes.under(prefix), wanted), prefix)
        for prefix in shapes.prefixes()
    ]
    differs, prefix = min(compared, key=lambda entry: entry[0].count)
    if differs.count:
        raise unsuitable(name, differs)
    key_map = {full: full.removeprefix(prefix) for full in shapes}
    return tuple(
        Architecture(
            name=name,
            build=build,
            num_classes=guess_size(shapes).num_classes,
            in_channels=in_channels,
            image_size=image_size,
            key_map=key_map,
            matched_by="given",
        )
        for in_channels, image_size in _inputs(module)
    )


def build_module(name: str, build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module, leaving torch's random state alone; raises UsageError."""
    with torch.random.fork_rng(devices=[]):
        # Whatever the user's code raises, the user is the one who can act on it.
        try:
            module = build()
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"Building {name} failed: {type(error).__name__}: {error}",
                hint="Its code must build it without arguments.",
            ) from error
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"{name} returned {type(module).__name__}, not a torch.nn.Module.",
            hint="The factory must return a fresh module.",
        )
    return module


def _declared_size(module: nn.Module) -> int | None:
    """Return the input size that vision transformers keep as an attribute."""
    for holder in (module, getattr(module, "patch_embed", None)):
        for attribute in ("image_size", "img_size"):
            size = getattr(holder, attribute, None)
            size = size[0] if isinstance(size, tuple) and size else size
            if isinstance(size, int) and size > 0:
                return size
    return None


def _inputs(module: nn.Module) -> Iterator[tuple[int, int | None]]:
    """Yield (channels, image size or None): convolutions tell, or the first matrix."""
    convolutions = [m.in_channels for m in module.modules() if isinstance(m, nn.Conv2d)]
    if convolutions:
        images = [count for count in convolutions if count in _IMAGE_CHANNELS]
        for count in dict.fromkeys(images or convolutions[:1]):
            yield count, _declared_size(module)
        return
    linear = next((m for m in module.modules() if isinstance(m, nn.Linear)), None)
    for channels in (1, 3):
        side = math.isqrt(linear.in_features // channels) if linear else 0
        if linear and side * side * channels == linear.in_features:
            yield channels, side
            return
    yield 3, None
