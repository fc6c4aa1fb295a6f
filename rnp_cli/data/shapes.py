"""Which input shapes a network accepts: channels, size, and how images are fitted."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rnp_cli.data.conventions import Convention
from rnp_cli.data.decode import Fit, decode, image_size
from rnp_cli.defense.score import logits_of
from rnp_cli.errors import InputRefused, UsageError
from rnp_cli.machine import memory

_USUAL_SIZES = (32, 28, 64, 224)
_SHARE = 0.25  # of the machine's memory; the work holds more than the images

Size = tuple[int, int]  # height, width


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the user or the architecture says of the input; None is "find out"."""

    size: Size | None = None
    convention: Convention | None = None
    usual_channels: int = 3
    usual_size: int | None = None


@dataclass(frozen=True)
class InputShape:
    """Channels, (height, width), and what is done to images of another shape."""

    channels: int
    size: Size
    fit: Fit


def accepted_shapes(
    networks: Sequence[nn.Module],
    paths: Sequence[Path],
    known: Known,
    *,
    device: torch.device,
) -> tuple[list[list[InputShape]], int]:
    """Return the shapes that each network accepts, and how many classes they have.

    Raises InputRefused when it accepts none of those tried, and UsageError when the
    memory does not hold the images in the network's usual size, or if that is not known
    in any.
    """
    accepted: list[list[InputShape]] = [[] for _ in networks]
    classes = 0
    why = ""
    tried = list(_likely_shapes(paths, known))
    for shape in tried:
        images = decode(
            paths[:2], channels=shape.channels, size=shape.size, fit=shape.fit
        )
        for network, shapes in zip(networks, accepted, strict=True):
            outputs = _outputs(network, images.to(device))
            if isinstance(outputs, str):
                why = why or outputs
            elif classes in (0, outputs):
                classes = outputs
                shapes.append(shape)
    if not any(accepted):
        sizes = dict.fromkeys("x".join(map(str, (s.channels, *s.size))) for s in tried)
        raise InputRefused(
            f"The network accepts none of the input shapes tried: {', '.join(sizes)}. "
            f"For the first it says: {why}",
            hint="Say what it expects with --input-size, as 32 or 32x64.",
        )
    return accepted, classes


def _outputs(network: nn.Module, images: Tensor) -> int | str:
    """Count the logits per image, or say why the network does not serve."""
    try:
        output = logits_of(network, images)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the user's own code may refuse in any way
        return f"{type(error).__name__}: {error}"[:200]
    if output.ndim != 2 or output.shape[1] < 2:
        return f"a result of shape {tuple(output.shape)} is not two or more classes"
    return output.shape[1]


def _likely_shapes(paths: Sequence[Path], known: Known) -> Iterator[InputShape]:
    own = Counter(image_size(path) for path in paths)
    sizes = [known.size] if known.size else _likely_sizes(own, known.usual_size)
    usual = known.usual_channels
    planes = len(paths) * (1 if usual == 1 else 3)
    sizes = _holdable(sizes, planes, known)
    for size, channels in itertools.product(sizes, dict.fromkeys((usual, 3, 1))):
        yield InputShape(channels, size, "crop")
        if any(height * size[1] != width * size[0] for height, width in own):
            yield InputShape(channels, size, "squash")


def _likely_sizes(own: Counter[Size], usual: int | None) -> list[Size]:
    """Return the images' own size where they share one, and the network's usual.

    Others only where neither is known: a network with global pooling accepts every
    size, and trying them all takes long.
    """
    commonest = [size for size, _ in own.most_common(1)]
    likely = commonest if len(own) == 1 else []
    likely += [(usual, usual)] if usual else []
    others = commonest + [(size, size) for size in _USUAL_SIZES]
    return list(dict.fromkeys(likely or others))


def _holdable(sizes: Sequence[Size], planes: int, known: Known) -> list[Size]:
    """Return those in which the memory holds all planes, and the work on them.

    Never without the network's usual size, where that is known.
    """
    most = int(_SHARE * memory())
    takes = {size: 4 * planes * math.prod(size) for size in sizes}
    holdable = [size for size in sizes if takes[size] <= most]
    needed = min(sizes, key=math.prod)
    if known.size is None and known.usual_size is not None:
        needed = (known.usual_size, known.usual_size)
    if needed in holdable:
        return holdable
    smaller = (
        "" if known.size else "say with --input-size what the network expects, or "
    )
    raise UsageError(
        f"The images take {_gib(takes[needed])} at {'x'.join(map(str, needed))}; a "
        f"quarter of the memory, {_gib(most)}, is for them.",
        hint=f"Give fewer with --max-samples, or {smaller}take a larger machine.",
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
