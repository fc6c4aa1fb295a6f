"""Builds model files byte by byte, as no honest program would."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
VERSION = b"\x80\x02M\xe9\x03."


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def counts(*values: int) -> bytes:
    return b"(" + b"".join(number(value) for value in values) + b"t"


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def call(module: str, attribute: str, *arguments: bytes) -> bytes:
    return name(module, attribute) + b"(" + b"".join(arguments) + b"tR"


def touch(marker: Path) -> bytes:
    return call("os", "system", text(f"touch '{marker}'"))


def storage(key: str, numel: int) -> bytes:
    kind = name("torch", "FloatStorage")
    body = text("storage") + kind + text(key) + text("cpu") + number(numel)
    return b"(" + body + b"tQ"


def tensor(
    size: tuple[int, ...] = (4,),
    stride: tuple[int, ...] = (1,),
    *,
    offset: int = 0,
    numel: int = 4,
) -> bytes:
    return call(
        "torch._utils",
        "_rebuild_tensor_v2",
        storage("0", numel),
        number(offset),
        counts(*size),
        counts(*stride),
        b"\x89",
        call("collections", "OrderedDict"),
    )


def table(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def pickled(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return buffer.getvalue()


def torch_zip(body: bytes, data: bytes = bytes(16)) -> bytes:
    return zipped(
        {
            "archive/data.pkl": pickled(body),
            "archive/version": b"3\n",
            "archive/data/0": data,
        }
    )


def torch_legacy(body: bytes) -> bytes:
    keys = pickled(b"](" + text("0") + b"e")
    raw = struct.pack("<q", 4) + bytes(16)
    return MAGIC + VERSION + pickled(b"}") + pickled(body) + keys + raw


WEIGHTS = table({"fc.weight": tensor()})
GOOD_ZIP = torch_zip(WEIGHTS)
GOOD_LEGACY = torch_legacy(WEIGHTS)


def beside_weights(body: bytes) -> bytes:
    return torch_zip(table({"state_dict": WEIGHTS, "extra": body}))


def safetensors(header: object, data: bytes = bytes(16), *, raw: bytes = b"") -> bytes:
    encoded = raw or json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def entry(start: int = 0, end: int = 16, shape: tuple[int, ...] = (4,)) -> object:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
