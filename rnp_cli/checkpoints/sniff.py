"""Tells what a file is from its first and last bytes, never from its name."""

from __future__ import annotations

from enum import Enum

from rnp_cli.checkpoints.refusals import malformed, unsupported
from rnp_cli.checkpoints.source import RegularFile, Source

_HEAD_BYTES = 512
_TAIL_BYTES = 22 + (1 << 16)  # a zip's end record with the longest comment


class Kind(Enum):
    """A family of files that has a reader here."""

    ZIP = "zip archive"
    PICKLE = "pickle"
    SAFETENSORS = "safetensors"
    ONNX = "onnx"


_PICKLED = frozenset({Kind.ZIP, Kind.PICKLE})
_SUFFIXES = {
    ".safetensors": frozenset({Kind.SAFETENSORS}),
    ".onnx": frozenset({Kind.ONNX}),
    **dict.fromkeys((".pt", ".pth", ".tar", ".th", ".ckpt", ".bin"), _PICKLED),
    **dict.fromkeys((".pkl", ".pickle", ".p"), _PICKLED),
    **dict.fromkeys((".pt2", ".ptc", ".zip", ".ts"), frozenset({Kind.ZIP})),
    **dict.fromkeys(
        (".h5", ".keras", ".npy", ".npz", ".gguf", ".tflite", ".json"),
        frozenset[Kind](),
    ),
}


def suffix_agrees(suffix: str, kind: Kind) -> bool:
    """Whether a file of that name may be of that kind; unknown names may be any."""
    return kind in _SUFFIXES.get(suffix.lower(), frozenset(Kind))


_UNPACK = "Unpack it and give the model file inside."
_DOWNLOAD = "It is not the model but what was served in its place: download it again."
# (offset, bytes, what it is, what to do)
_FOREIGN: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"\x1f\x8b", "a gzip file", _UNPACK),
    (0, b"BZh", "a bzip2 file", _UNPACK),
    (0, b"\xfd7zXZ\x00", "an xz file", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"PK\x05\x06", "an empty zip archive", ""),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)", ""),
    (0, b"\x93NUMPY", "a NumPy array", ""),
    (0, b"GGUF", "a GGUF language model", ""),
    (4, b"TFL3", "a TensorFlow Lite model", ""),
    (0, b"\x89PNG", "a PNG image", "Give a model file."),
    (0, b"\xff\xd8\xff", "a JPEG image", "Give a model file."),
    (0, b"\x7fELF", "a program, not a model", "Do not run it."),
    (0, b"MZ", "a program, not a model", "Do not run it."),
    (0, b"version https://git-lfs", "a Git LFS pointer", "Run `git lfs pull` first."),
    (0, b"<!DOCTYPE", "a web page", _DOWNLOAD),
    (0, b"<!doctype", "a web page", _DOWNLOAD),
    (0, b"<html", "a web page", _DOWNLOAD),
)
_ONNX_FIELDS = {
    b"\x12",
    b"\x1a",
    b"\x22",
    b"\x28",
    b"\x32",
    b"\x3a",
    b"\x42",
}  # tags that follow ir_version


def sniff(file: RegularFile | Source) -> Kind:
    """Say which reader the file needs; refuse by name what has none."""
    head = file.read_at(0, _HEAD_BYTES)
    if head.startswith(b"PK\x03\x04"):
        return Kind.ZIP
    if _begins_as_safetensors(head, file.size):
        return Kind.SAFETENSORS
    for offset, signature, name, hint in _FOREIGN:
        if head.startswith(signature, offset):
            raise unsupported(f"It is {name}.", hint)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return Kind.PICKLE
    if head[8:9] == b"{":
        return Kind.SAFETENSORS
    if _begins_as_onnx(head):
        return Kind.ONNX
    tail = file.read_at(max(0, file.size - _TAIL_BYTES), _TAIL_BYTES)
    if b"PK\x05\x06" in tail:
        raise malformed("It is a zip archive with foreign bytes before its start.")
    raise unsupported(
        "It is no model file that is known here.",
        "PyTorch files (.pt, .pth), safetensors and ONNX are read, whatever their "
        "name.",
    )


def _begins_as_safetensors(head: bytes, size: int) -> bool:
    """Whether the length of a header comes first that the file can hold.

    Told before other signatures: a length of 0x0580 begins as pickles do.
    """
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length <= size - 8


def looks_like_onnx(file: RegularFile) -> bool:
    """Whether ``sniff`` calls it an ONNX model, or refuses it."""
    head = file.read_at(0, _HEAD_BYTES)
    return head[8:9] != b"{" and _begins_as_onnx(head)


def _begins_as_onnx(head: bytes) -> bool:
    """Whether a small ir_version comes first, and a field that may follow it."""
    return head[:1] == b"\x08" and head[1:2] < b"\x20" and head[2:3] in _ONNX_FIELDS
