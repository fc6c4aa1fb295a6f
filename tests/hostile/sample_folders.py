"""Unsuitable folders of clean samples for the digits model, of ten classes."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

_SIDE = 30_000


def _bomb() -> bytes:
    """A PNG of 900 million pixels that are all the same: some hundred kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(1)
    row = bytes(1 + _SIDE // 8)
    parts = [packer.compress(row) for _ in range(_SIDE)]
    pixels = b"".join([*parts, packer.flush()])
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _some(clean: Path, folder: Path, classes: int = 10, images: int = 3) -> None:
    for label in range(classes):
        (folder / str(label)).mkdir(parents=True)
        for image in sorted((clean / str(label)).iterdir())[:images]:
            shutil.copy(image, folder / str(label))


def _with_bomb(clean: Path, folder: Path) -> None:
    _some(clean, folder)
    (folder / "0" / "bomb.png").write_bytes(_bomb())


def _with_truncated_jpeg(clean: Path, folder: Path) -> None:
    from PIL import Image

    _some(clean, folder)
    path = folder / "0" / "cut.jpg"
    Image.effect_noise((64, 64), 90).save(path)
    path.write_bytes(path.read_bytes()[:700])


def _one_class(clean: Path, folder: Path) -> None:
    _some(clean, folder, classes=1, images=30)


def _few_images(clean: Path, folder: Path) -> None:
    _some(clean, folder, classes=2, images=2)


def _unknown_classes(clean: Path, folder: Path) -> None:
    _some(clean, folder)
    for label in range(10, 14):
        shutil.copytree(folder / str(label - 10), folder / str(label))


def _empty(clean: Path, folder: Path) -> None:
    folder.mkdir()


SAMPLES: dict[str, Callable[[Path, Path], None]] = {
    "image bomb": _with_bomb,
    "truncated JPEG": _with_truncated_jpeg,
    "one class": _one_class,
    "fewer images than classes": _few_images,
    "classes that the model lacks": _unknown_classes,
    "no images": _empty,
}
