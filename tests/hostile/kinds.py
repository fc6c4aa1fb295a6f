"""The 36 kinds of hostile input, by number; each makes its files in a folder."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx_files
from corpus import HOSTILE


@dataclass(frozen=True)
class Kind:
    """One hostile model: how it is made, and the marker that its payload writes."""

    number: int
    name: str
    make: Callable[[Path, Path], Path]  # folder, marker
    scan_code: int = 3

    def __str__(self) -> str:
        return f"{self.number}-{self.name}"


# From the corpus, by name: a name twice in it stands for all of that name.
_NUMBERS = {
    1: ("os.system in a zip", "beside weights"),
    2: ("legacy", "legacy, in the machine's facts"),
    3: (
        "gadget importlib.import_module",
        "gadget ctypes.CDLL",
        "gadget torch.hub.load",
        "gadget numpy.load",
        "gadget types.FunctionType",
        "gadget timeit.timeit",
        "gadget pip.main",
    ),
    4: ("STACK_GLOBAL through the memo",),
    5: ("INST", "OBJ"),
    6: ("EXT1", "EXT2", "EXT4"),
    7: ("payload before a missing STOP",),
    8: ("pickle within bytes",),
    9: ("magic number by REDUCE",),
    10: ("BUILD on a class",),
    11: ("deep tuple as key",),
    12: ("memo index 2**31 - 1",),
    13: ("bytearray(4 << 30)",),
    14: ("billion laughs",),
    15: ("duplicate data.pkl",),
    16: ("encrypted bit",),
    17: ("bad CRC of a storage",),
    18: ("two names for a member",),
    19: ("deflate bomb", "lying deflate"),
    20: ("nested zip", "zip as data.pkl"),
    21: ("junk prefix", "zip as prefix"),
    22: ("truncated zip",),
    23: ("7z", "tar", "gz"),
    24: ("stride 0",),
    25: ("view beyond storage", "offset beyond storage"),
    26: ("short storage", "absurd storage"),
    27: ("negative size", "rank 65"),
    28: ("NaN", "Inf"),
    29: ("pickle renamed", "zip renamed"),
    30: ("length 2**63", "99 MB header"),
    31: ("overlap", "hole", "duplicate key"),
    32: ("ANSI escape", "log command", "path"),
}


def _of_corpus() -> tuple[Kind, ...]:
    by_name = {case.name: case for case in HOSTILE}

    def kind(number: int, name: str) -> Kind:
        case = by_name[name]

        def make(folder: Path, marker: Path) -> Path:
            return _write(folder, f"model{case.suffix}", case.build(marker))

        return Kind(number, name, make)

    return tuple(kind(n, name) for n, names in _NUMBERS.items() for name in names)


def _write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _fixed(
    number: int, name: str, content: Callable[[], bytes], suffix: str = ".onnx"
) -> Kind:
    return Kind(number, name, lambda f, m: _write(f, f"model{suffix}", content()))


def _made(number: int, name: str, make: Callable[[Path], Path]) -> Kind:
    return Kind(number, name, lambda folder, marker: make(folder))


def _padded_header() -> bytes:
    return struct.pack("<Q", 99 << 20) + b"{}".ljust(99 << 20)


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "model.pt")
    return folder / "model.pt"


def _directory(folder: Path, marker: Path) -> Path:
    (folder / "model.pt").mkdir()
    return folder / "model.pt"


def _device(folder: Path) -> Path:
    (folder / "model.pt").symlink_to("/dev/zero")
    return folder / "model.pt"


_REST = (
    _fixed(30, "99 MB of spaces in the header", _padded_header, ".safetensors"),
    _made(33, "external data through ..", onnx_files.with_file(None)),
    _made(33, "symlink", onnx_files.with_file(onnx_files.symlink)),
    _made(33, "hardlink", onnx_files.with_file(onnx_files.hardlink)),
    _fixed(34, "ConstantOfShape bomb", onnx_files.bomb),
    _fixed(35, "custom domain", onnx_files.custom_domain),
    _fixed(
        35, "opset 9999", lambda: onnx_files.model(onnx_files.good_weight(), opset=9999)
    ),
    _fixed(35, "negative dims", onnx_files.negative_dims),
    _fixed(
        35,
        "external length 2**50",
        lambda: onnx_files.model(onnx_files.external("weights.bin", 1 << 50)),
    ),
    _fixed(36, "empty file", bytes, ".pt"),
    _made(36, "FIFO", _fifo),
    Kind(36, "directory", _directory, scan_code=2),  # there is no model file in it
    _made(36, "symlink to a device", _device),
)
KINDS = tuple(sorted((*_of_corpus(), *_REST), key=lambda kind: kind.number))
DANGEROUS = frozenset({11, 13, 14, 19, 24, 28, 30, 34, 36})
