"""Real images for training and measuring: CIFAR-10, or scikit-learn's digits."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

CIFAR10 = (  # class 0 to 9
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images. pixels: (count, channel, height, width) uint8; labels: int64."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Tensor) -> Images:
        """Pick the images with these indices."""
        return Images(self.pixels[chosen], self.labels[chosen])

    def to(self, device: torch.device) -> Images:
        """Move to a device, once."""
        return Images(self.pixels.to(device), self.labels.to(device))


def unit(pixels: Tensor) -> Tensor:
    """Turn uint8 pixels into float32 in [0, 1]."""
    return pixels.float() / 255


def quantised(images: Tensor) -> Tensor:
    """Turn float images into uint8 pixels, as a file would hold them."""
    return (images.clamp(0, 1) * 255).round().byte()


@dataclass(frozen=True, eq=False)
class Dataset:
    """What victims train on, and what CA and ASR are measured on."""

    train: Images
    test: Images
    num_classes: int
    flips: bool  # whether a mirrored image keeps its class

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channel, height and width of each image."""
        channels, height, width = self.train.pixels.shape[1:]
        return channels, height, width


def read_cifar10(place: Path, cache: Path) -> Dataset:
    """Read CIFAR-10 from image files.

    place holds ``train/<class>/*`` and ``test/<class>/*`` as folders, or the same in
    ``cifar10-train.zip`` and ``cifar10-test.zip``. What was decoded is kept in
    ``cache``.
    """
    return Dataset(
        train=_read_split(place, "train", cache),
        test=_read_split(place, "test", cache),
        num_classes=len(CIFAR10),
        flips=True,
    )


def read_digits() -> Dataset:
    """Take scikit-learn's 1,797 digits of 8x8 pixels; a third is for measuring."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    digits = load_digits()
    pixels = np.round(digits.images * 255 / 16).astype(np.uint8)[:, None]
    everything = Images(torch.from_numpy(pixels), torch.from_numpy(digits.target))
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(0))
    test, train = order.tensor_split([len(order) // 3])
    return Dataset(everything.take(train), everything.take(test), 10, flips=False)


def _read_split(place: Path, split: str, cache: Path) -> Images:
    kept = cache / f"cifar10-{split}-{fingerprint(place, split)}.npz"
    if not kept.exists():
        pixels, labels = zip(*_decode(place, split), strict=True)
        cache.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}.npz")  # another may do the same
        np.savez(partial, pixels=np.stack(pixels), labels=np.array(labels))
        partial.replace(kept)
    with np.load(kept) as arrays:
        pixels, labels = arrays["pixels"], arrays["labels"]
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return Images(images, torch.from_numpy(labels))


def _decode(place: Path, split: str) -> Iterator[tuple[np.ndarray, int]]:
    archive = place / f"cifar10-{split}.zip"
    if archive.exists():
        with zipfile.ZipFile(archive) as opened:
            for name in sorted(opened.namelist()):
                path = Path(name)
                if path.suffix.lower() in SUFFIXES:
                    file = io.BytesIO(opened.read(name))
                    yield _pixels(file), CIFAR10.index(path.parent.name)
        return
    folder = place / split
    if not folder.is_dir():
        raise SystemExit(f"{place} holds neither {archive.name} nor {split}/<class>/")
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in SUFFIXES:
            yield _pixels(path), CIFAR10.index(path.parent.name)


def _pixels(file: io.BytesIO | Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def fingerprint(place: Path, split: str) -> str:
    """Tell CIFAR-10's files from others: an archive by its size, images by names."""
    archive = place / f"cifar10-{split}.zip"
    if archive.exists():
        known = f"{archive.name} {archive.stat().st_size}"
    else:
        known = " ".join(sorted(p.name for p in (place / split).glob("*/*")))
    return hashlib.sha256(known.encode()).hexdigest()[:12]
