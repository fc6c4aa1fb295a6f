"""Image files to tensors, each file bounded and checked."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from rnp_cli.errors import InputRefused

Fit = Literal["crop", "squash"]
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM", "TIFF")
MAX_PIXELS = 64_000_000
_PHOTO = 128  # from this input size on, the field crops 7/8 of the shorter side


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of a file, from its header alone."""
    with _open(path) as image:
        return image.height, image.width


def decode(
    paths: Sequence[Path], *, channels: int, size: tuple[int, int], fit: Fit
) -> Tensor:
    """Images (count, channel, height, width), float32 in [0, 1].

    channels: one for gray; all other numbers give three. No more is held meanwhile
    than the result and one image.
    Raises InputRefused for a file that is no image, truncated, or too large.
    """
    gray = channels == 1
    images = torch.empty(len(paths), 1 if gray else 3, *size)
    for image, path in zip(images, paths, strict=True):
        pixels = np.array(_resized(path, "L" if gray else "RGB", size, fit))
        image.copy_(torch.from_numpy(pixels if gray else pixels.transpose(2, 0, 1)))
    return images.div_(255)


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings(
            action="ignore", category=Image.DecompressionBombWarning
        ):  # the limit below is lower
            image = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise _bad_image(path, f"it is none of {', '.join(FORMATS)}") from error
    except (Image.DecompressionBombError, OSError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise _bad_image(path, why.rstrip(".")) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise _bad_image(path, f"it claims {image.width} x {image.height} pixels")
    return image


def _resized(path: Path, mode: str, size: tuple[int, int], fit: Fit) -> Image.Image:
    try:
        with _open(path) as opened:
            image = _eight_bits(opened).convert(mode)
    except (OSError, SyntaxError, ValueError) as error:
        raise _bad_image(path, str(error)) from error
    height, width = size
    if (image.height, image.width) == size:
        return image
    if fit == "squash":
        return _squashed(image, size)
    return _middle(image, size)


def _squashed(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    height, width = size
    if width * image.height > MAX_PIXELS:  # Pillow would change the width first
        image = image.resize((image.width, height), Image.Resampling.BILINEAR)
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _middle(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale what stays of the image, and never the rest: it may be very long."""
    height, width = size
    margin = 8 / 7 if min(size) >= _PHOTO else 1.0
    scale = margin * max(height / image.height, width / image.width)
    scaled = (
        max(width, round(image.width * scale)),
        max(height, round(image.height * scale)),
    )
    left, right, *columns = _kept(image.width, scaled[0], width)
    top, bottom, *rows = _kept(image.height, scaled[1], height)
    return image.crop((left, top, right, bottom)).resize(
        (width, height),
        Image.Resampling.BILINEAR,
        box=(columns[0], rows[0], columns[1], rows[1]),
    )


def _kept(length: int, scaled: int, wanted: int) -> tuple[int, int, float, float]:
    """Where the middle of a side lies: the pixels it needs, and its ends in them.

    The filter sees a pixel of the result beyond each end. Ends count from the first
    pixel needed: Pillow takes them in single precision.
    """
    before = (scaled - wanted) // 2
    start, end = before * length / scaled, (before + wanted) * length / scaled
    reach = max(1.0, length / scaled) + 1
    first = max(0, math.floor(start - reach))
    last = min(length, math.ceil(end + reach))
    return first, last, start - first, min(end, last) - first


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16 bits, which Pillow would clip; see a palette without its alpha."""
    image.info.pop("transparency", None)
    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64).clip(0, 0xFFFF) // 0x101
    return Image.fromarray(levels.astype(np.uint8))


def _bad_image(path: Path, why: str) -> InputRefused:
    return InputRefused(
        f"{path} cannot be read as an image: {why}.",
        hint="Remove the file from the clean folder, or replace it by a good copy.",
    )
