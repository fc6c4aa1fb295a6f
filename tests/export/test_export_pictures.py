from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from rnp_cli.export.pictures import picture, png, tile
from rnp_cli.export.sheet import Row, Tile, sheet


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_picture_has_the_size_and_the_values_of_the_tensor(
    channels: int, mode: str
) -> None:
    pixels = torch.rand(channels, 5, 7, generator=torch.Generator().manual_seed(0))

    with Image.open(io.BytesIO(png(picture(pixels)))) as image:
        values = np.asarray(image).reshape(5, 7, channels)
        assert (image.mode, image.format) == (mode, "PNG")

    assert np.abs(values / 255 - pixels.permute(1, 2, 0).numpy()).max() <= 0.5 / 255


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (8, 8, (96, 96)),
        (32, 32, (96, 96)),
        (20, 10, (50, 100)),
        (224, 224, (224, 224)),
        (512, 1024, (256, 128)),
    ],
)
def test_small_images_are_enlarged_and_large_ones_reduced(
    height: int, width: int, size: tuple[int, int]
) -> None:
    assert tile(torch.zeros(1, height, width)).size == size


def test_enlarging_keeps_pixels_sharp() -> None:
    checks = (torch.arange(64).view(1, 8, 8) + torch.arange(8)[:, None]) % 2
    values = np.asarray(tile(checks.float()))
    assert set(np.unique(values)) == {0, 255}


def test_a_sheet_holds_every_tile_in_its_place() -> None:
    black, white = torch.zeros(1, 8, 8), torch.ones(3, 8, 8)
    rows = [
        Row("First", [Tile(None, ""), Tile(white, "white")]),
        Row("Second", [Tile(black, "black"), Tile(white, "white")]),
    ]

    drawn = np.asarray(sheet(rows))

    height, width, _ = drawn.shape
    assert width >= 2 * 96
    assert height >= 2 * 96
    dark = (drawn == 0).all(2)
    assert dark[height // 2 :, : width // 2].sum() >= 96 * 96
    assert dark[: height // 2].sum() < 1000  # letters alone
