from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rnp_cli.data.decode import Fit, decode, image_size
from rnp_cli.errors import InputRefused

RED_LEFT = np.zeros((4, 4, 3), np.uint8)
RED_LEFT[:, :2, 0] = 255


def saved(image: Image.Image, path: Path) -> Path:
    image.save(path)
    return path


def one(path: Path, *, channels: int = 3, size: int = 4, fit: Fit = "crop") -> Tensor:
    return decode([path], channels=channels, size=(size, size), fit=fit)[0]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colors_survive_every_mode(tmp_path: Path, mode: str) -> None:
    path = saved(Image.fromarray(RED_LEFT).convert(mode), tmp_path / "image.png")

    pixels = one(path)

    assert image_size(path) == (4, 4)
    assert pixels.dtype == torch.float32
    assert torch.equal(pixels, torch.from_numpy(RED_LEFT).permute(2, 0, 1) / 255)


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "LA", "RGB"])
def test_gray_stays_gray(tmp_path: Path, mode: str) -> None:
    levels = np.array([[0, 255], [255, 0]], np.uint8)
    image = Image.fromarray(levels)
    if mode == "I;16":
        image = Image.fromarray(levels.astype(np.uint16) * 257)
    path = saved(image if mode == "I;16" else image.convert(mode), tmp_path / "i.png")

    gray, colored = one(path, channels=1, size=2), one(path, channels=3, size=2)

    assert torch.equal(gray, torch.from_numpy(levels)[None] / 255)
    assert torch.equal(colored, gray.expand(3, 2, 2))


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    middle = np.full((2, 2), 0x8080, np.uint16)
    path = saved(Image.fromarray(middle), tmp_path / "image.png")

    assert one(path, channels=1, size=2).sub(0x80 / 255).abs().max() < 0.01


def test_transparent_palettes_need_no_warning(tmp_path: Path) -> None:
    image = Image.fromarray(RED_LEFT).convert("P")
    path = tmp_path / "image.png"
    image.save(path, transparency=bytes([0, 128]))

    assert torch.equal(one(path)[0], torch.from_numpy(RED_LEFT[..., 0]) / 255)


def test_crop_keeps_the_middle_and_squash_keeps_everything(tmp_path: Path) -> None:
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, 4:8] = 255  # a white square between two black ones
    path = saved(Image.fromarray(wide), tmp_path / "image.png")

    assert one(path, fit="crop").min() == 1.0
    assert one(path, fit="squash")[:, :, 0].max() < 0.5
    assert one(path, fit="squash")[:, :, 1:3].min() > 0.5


@pytest.mark.parametrize("fit", ["crop", "squash"])
@pytest.mark.parametrize("size", [(4, 4), (8, 6), (3, 9), (130, 140)])
def test_every_image_of_a_batch_gets_the_size_asked_for(
    tmp_path: Path, size: tuple[int, int], fit: Fit
) -> None:
    paths = [
        saved(Image.new("RGB", shape, "white"), tmp_path / f"{shape[0]}.png")
        for shape in ((4, 4), (9, 5), (2, 7), (300, 200))
    ]

    pixels = decode(paths, channels=3, size=size, fit=fit)

    assert pixels.shape == (4, 3, *size)
    assert pixels.is_contiguous()
    assert pixels.min() == 1.0


def test_photos_lose_their_margin(tmp_path: Path) -> None:
    framed = np.zeros((256, 256, 3), np.uint8)
    framed[16:-16, 16:-16] = 255
    path = saved(Image.fromarray(framed), tmp_path / "image.png")

    assert one(path, size=224)[:, 4:-4, 4:-4].min() == 1.0
    assert one(path, size=224).mean() > one(path, size=64).mean()


def test_a_truncated_jpeg_is_refused_by_name(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    path = saved(Image.fromarray(noise), tmp_path / "cut.jpg")
    path.write_bytes(path.read_bytes()[:900])

    with pytest.raises(InputRefused, match=r"cut\.jpg"):
        one(path)


def chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


@pytest.mark.parametrize("side", [9_000, 10_000, 60_000, 2**31 - 1])
def test_a_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b""))

    with pytest.raises(InputRefused, match=r"bomb\.png.*pixels"):
        image_size(path)
    with pytest.raises(InputRefused, match=r"bomb\.png.*pixels"):
        one(path)


@pytest.mark.parametrize(
    "content", [b"", b"plain text", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_what_is_no_image_is_refused_whatever_its_name(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "fake.png"
    path.write_bytes(content)

    with pytest.raises(InputRefused, match=r"fake\.png"):
        one(path)


def test_a_format_outside_the_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(RED_LEFT).save(path, format="GIF")

    with pytest.raises(InputRefused, match=r"image\.png"):
        one(path)


@pytest.mark.parametrize("fit", ["crop", "squash"])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("length", [2_000_000, 2_000_001, 20_000_000])
def test_a_line_of_pixels_takes_no_more_memory_than_it_has(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    length: int,
    turned: bool,
    fit: Fit,
) -> None:
    sizes: list[int] = []
    resize = Image.Image.resize

    def noted(image: Image.Image, size: tuple[int, int], *how: Any, **more: Any) -> Any:
        sizes.append(size[0] * size[1])
        sizes.append(size[0] * image.height)  # between Pillow's two passes
        return resize(image, size, *how, **more)

    monkeypatch.setattr(Image.Image, "resize", noted)
    line = np.zeros((1, length), np.uint8)
    middle = (length - 1) // 2
    line[:, middle - 2 : middle + 4] = 255
    image = Image.fromarray(line.T.copy() if turned else line)
    path = saved(image, tmp_path / "line.png")

    pixels = one(path, channels=1, size=32, fit=fit)

    assert pixels.shape == (1, 32, 32)
    assert pixels.min() == (1.0 if fit == "crop" else 0.0)
    assert max(sizes) <= 64_000_000


def test_crop_is_the_middle_of_the_whole_image_scaled(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 150, 3), np.uint8)
    image = Image.fromarray(noise)
    path = saved(image, tmp_path / "image.png")
    whole = np.asarray(image.resize((53, 32), Image.Resampling.BILINEAR))

    cropped = one(path, size=32).permute(1, 2, 0) * 255

    assert np.abs(cropped.numpy() - whole[:, 10:42]).max() <= 2
