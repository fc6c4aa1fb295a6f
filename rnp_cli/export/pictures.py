"""Tensors as PNG files, and as tiles that people can see the pixels of."""

from __future__ import annotations

import io
import math

from PIL import Image
from torch import Tensor

_LEAST_SIDE = 96  # of a tile; smaller images are enlarged to whole multiples
_MOST_SIDE = 256  # larger ones are made smaller


def picture(pixels: Tensor) -> Image.Image:
    """Turn (1 or 3, height, width) in [0, 1] into a gray or color image of its size."""
    values = (pixels.clamp(0, 1) * 255).round().byte().cpu()
    if len(values) == 1:
        return Image.fromarray(values[0].numpy())
    return Image.fromarray(values.permute(1, 2, 0).contiguous().numpy())


def tile(pixels: Tensor) -> Image.Image:
    """Turn an image as above into an RGB tile of a size that people can read."""
    image = picture(pixels).convert("RGB")
    longest = max(image.size)
    if longest > _MOST_SIDE:
        image.thumbnail((_MOST_SIDE, _MOST_SIDE), Image.Resampling.BOX)
        return image
    factor = math.ceil(_LEAST_SIDE / longest)
    size = (factor * image.width, factor * image.height)
    return image.resize(size, Image.Resampling.NEAREST)


def png(image: Image.Image) -> bytes:
    """Encode an image."""
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return encoded.getvalue()
