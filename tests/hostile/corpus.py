"""Hostile model files, made from scratch; the only payload writes a marker file."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from crafting import (
    GOOD_LEGACY,
    GOOD_ZIP,
    MAGIC,
    VERSION,
    WEIGHTS,
    beside_weights,
    call,
    entry,
    name,
    number,
    pickled,
    safetensors,
    table,
    tensor,
    text,
    torch_legacy,
    torch_zip,
    touch,
    zipped,
)


def _patched(source: bytes, at: int, value: bytes) -> bytes:
    return source[:at] + value + source[at + len(value) :]


def _encrypted(source: bytes) -> bytes:
    central = source.index(b"PK\x01\x02")
    return _patched(_patched(source, 6, b"\x01\x00"), central + 8, b"\x01\x00")


def _duplicated() -> bytes:
    twins = {"archive/data.pkl": pickled(WEIGHTS), "archive/data.pk2": pickled(b"}")}
    return zipped(twins).replace(b"data.pk2", b"data.pkl")


def _bomb() -> bytes:
    return zipped({"archive/data.pkl": bytes(32 << 20)}, zipfile.ZIP_DEFLATED)


def _lying_deflate() -> bytes:
    """A member that inflates to far more than its directory entry says."""
    small = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = small.compress(bytes(8 << 20)) + small.flush()
    source = zipped({"archive/data.pkl": packed})
    central = source.index(b"PK\x01\x02")
    stored, deflated = b"\x00\x00", b"\x08\x00"
    assert source[8:10] == source[central + 10 : central + 12] == stored
    return _patched(_patched(source, 8, deflated), central + 10, deflated)


def _laughs() -> bytes:
    return b"(lp0\n" + b"".join(b"(h\x00h\x00h\x00tq\x00" for _ in range(200))


def _stacked_names(marker: Path) -> bytes:
    """STACK_GLOBAL with both strings fetched from the memo."""
    kept = text("system") + b"q\x010" + text("os") + b"q\x020"
    return kept + b"h\x02h\x01\x93" + b"(" + text(f"touch '{marker}'") + b"tR"


def _two_storages(header: Mapping[str, object]) -> bytes:
    return safetensors(header, bytes(32))


@dataclass(frozen=True)
class Hostile:
    """One hostile file: how it is made, and a phrase that its refusal must have."""

    name: str
    build: Callable[[Path], bytes]
    says: str
    suffix: str = ".pt"


GADGETS = (
    "posix.system",
    "nt.system",
    "subprocess.Popen",
    "builtins.eval",
    "builtins.exec",
    "builtins.getattr",
    "builtins.__import__",
    "__builtin__.apply",
    "importlib.import_module",
    "ctypes.CDLL",
    "torch.hub.load",
    "torch.load",
    "torch.storage._load_from_bytes",
    "torch.utils.cpp_extension.load",
    "numpy.load",
    "numpy.testing._private.utils.runstring",
    "types.FunctionType",
    "timeit.timeit",
    "pip.main",
    "pip._internal.main",
    "runpy.run_path",
    "pty.spawn",
    "operator.methodcaller",
    "torch.nn.modules.module:torch.hub.load",
    "collections:_sys.modules",
    "argparse:_os.system",
    "harmless.__globals__",
)


def _gadget(full: str) -> Hostile:
    module, attribute = full.rsplit(":" if ":" in full else ".", 1)
    body = text(module) + text(attribute) + b"\x93(" + text("x") + b"tR"
    return Hostile(f"gadget {full}", lambda m: beside_weights(body), "never needs")


def _zip(title: str, body: bytes, says: str) -> Hostile:
    return Hostile(title, lambda m: torch_zip(body), says)


def _raw(title: str, content: bytes, says: str, suffix: str = ".pt") -> Hostile:
    return Hostile(title, lambda m: content, says, suffix)


def _weights(title: str, body: bytes, says: str, data: bytes = bytes(16)) -> Hostile:
    return Hostile(title, lambda m: torch_zip(table({"w": body}), data), says)


PICKLES = (
    Hostile("os.system in a zip", lambda m: torch_zip(touch(m)), "os.system"),
    Hostile("beside weights", lambda m: beside_weights(touch(m)), "os.system"),
    Hostile("legacy", lambda m: torch_legacy(touch(m)), "os.system"),
    Hostile(
        "legacy, in the machine's facts",
        lambda m: MAGIC + VERSION + pickled(touch(m)) + GOOD_LEGACY[len(MAGIC) + 6 :],
        "os.system",
    ),
    Hostile(
        "STACK_GLOBAL through the memo",
        lambda m: torch_zip(_stacked_names(m)),
        "os.system",
    ),
    Hostile(
        "INST",
        lambda m: torch_zip(b"(" + text(f"touch '{m}'") + b"ios\nsystem\n"),
        "os.system",
    ),
    Hostile(
        "OBJ",
        lambda m: torch_zip(b"(" + name("os", "system") + text(f"touch '{m}'") + b"o"),
        "os.system",
    ),
    *(
        _zip(f"EXT{size}", opcode + bytes([1]) * size, "opcode EXT")
        for size, opcode in ((1, b"\x82"), (2, b"\x83"), (4, b"\x84"))
    ),
    Hostile(
        "payload before a missing STOP",
        lambda m: zipped({"archive/data.pkl": b"\x80\x02" + touch(m)}),
        "os.system",
    ),
    _raw(
        "missing STOP",
        zipped({"archive/data.pkl": b"\x80\x02" + WEIGHTS}),
        "no sound pickle",
    ),
    Hostile(
        "pickle within bytes",
        lambda m: beside_weights(
            call("torch.storage", "_load_from_bytes", text(repr(touch(m))))
        ),
        "_load_from_bytes",
    ),
    Hostile(
        "magic number by REDUCE",
        lambda m: pickled(touch(m)) + GOOD_LEGACY[len(MAGIC) :],
        "os.system",
    ),
    _raw(
        "magic number by a harmless REDUCE",
        pickled(call("builtins", "int", text("1"))) + GOOD_LEGACY[len(MAGIC) :],
        "plain pickle",
    ),
    _zip(
        "BUILD on a class",
        name("collections", "OrderedDict") + table({"x": b"N"}) + b"b",
        "changes a class",
    ),
    _zip("deep tuple as key", b"}N" + b"\x85" * 100_000 + b"Ns", "levels deep"),
    _zip("deep list", b"]" * 5_000 + b"a" * 4_999, "levels deep"),
    _zip("deep marks", b"(" * 5_000, "nests too deeply"),
    _zip("memo index 2**31 - 1", b"}r\xff\xff\xff\x7f", "no named tensors"),
    _zip(
        "bytearray(4 << 30)",
        call("builtins", "bytearray", number(4 << 30)),
        "empty memory",
    ),
    _zip("billion laughs", _laughs(), "no named tensors"),
    _zip("string longer than the file", b"X\xff\xff\xff\x0f", "beyond its end"),
    _zip("string over the limit", b"X\xff\xff\xff\x7f", "has a text of"),
    _zip("unknown opcode", b"\xff", "no sound pickle"),
    _zip("empty stack", b"0", "never began"),
    _zip("unknown memo", b"h\x05", "never kept"),
    _zip("call of a number", b"K\x01)R", "neither class nor function"),
    _zip("text persistent id", b"P0\n", "opcode PERSID"),
    _zip("odd persistent id", b"NQ", "unknown way"),
    *(_gadget(full) for full in GADGETS),
)

ZIPS = (
    _raw("duplicate data.pkl", _duplicated(), "twice"),
    _raw("encrypted bit", _encrypted(GOOD_ZIP), "encrypted"),
    _raw("bad CRC of a storage", GOOD_ZIP.replace(bytes(16), b"\1" * 16), "checksum"),
    _raw("bad CRC of the version", GOOD_ZIP.replace(b"3\n", b"4\n"), "checksum"),
    _raw(
        "two names for a member",
        GOOD_ZIP.replace(b"archive/data.pkl", b"archive/evil.pkl", 1),
        "two different names",
    ),
    _raw("deflate bomb", _bomb(), "inflates too far"),
    _raw("lying deflate", _lying_deflate(), "another size"),
    _raw("nested zip", zipped({"archive/model.pt": GOOD_ZIP}), "not one that torch"),
    _raw("zip as data.pkl", zipped({"archive/data.pkl": GOOD_ZIP}), "opcode PERSID"),
    _raw("two roots", zipped({"a/data.pkl": b"", "b/data.pkl": b""}), "never puts"),
    _raw("junk prefix", b"junk" + GOOD_ZIP, "foreign bytes before"),
    _raw("zip as prefix", GOOD_ZIP + GOOD_ZIP, "Foreign bytes"),
    _raw("junk suffix", GOOD_ZIP + b"junk", "follows its end"),
    _raw("truncated zip", GOOD_ZIP[:-30], "truncated"),
    _raw("truncated zip, first half", GOOD_ZIP[:100], "truncated"),
    _raw("7z", b"7z\xbc\xaf\x27\x1c" + bytes(64), "7-Zip"),
    _raw("tar", bytes(257) + b"ustar" + bytes(250), "tar archive"),
    _raw("gz", b"\x1f\x8b" + bytes(64), "gzip"),
    _raw("npz", zipped({"w.npy": b"\x93NUMPY"}), "NumPy"),
    _raw("pt2", zipped({"m/archive_format": b"pt2"}), "torch.export"),
    _raw("onnx", b"\x08\x08\x12\x07pytorch" + bytes(64), "ONNX"),
    _raw("hdf5", b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
    _raw("web page", b"<!DOCTYPE html><html>", "web page"),
    _raw("noise", bytes(range(7, 207)), "no model file"),
    _raw("one byte", b"\x08", "no model file"),
)

TENSORS = (
    _weights("stride 0", tensor((10**6, 10**6), (0, 0)), "repeats its storage"),
    _weights("view beyond storage", tensor((5,)), "beyond the end"),
    _weights("offset beyond storage", tensor(offset=1), "beyond the end"),
    _weights("short storage", tensor(numel=4), "should have 16", bytes(8)),
    _weights("absurd storage", tensor(numel=1 << 62), "should have"),
    _weights("negative size", tensor((-4,)), "negative or absurd size"),
    _weights("negative stride", tensor((4,), (-1,)), "negative or absurd stride"),
    _weights("negative offset", tensor(offset=-1), "offset"),
    _weights("rank 65", tensor((1,) * 65, (1,) * 65), "65 dimensions"),
    _weights("uneven rank", tensor((2, 2), (1,)), "another number of sizes"),
    _weights("no storage", call("torch._utils", "_rebuild_tensor"), "no storage"),
    _weights("NaN", tensor(), "NaN", struct.pack("<4f", 1, 2, float("nan"), 4)),
    _weights("Inf", tensor(), "NaN", struct.pack("<4f", 1, 2, float("-inf"), 4)),
    _raw(
        "one storage under ten thousand names",
        torch_zip(
            table({f"w{i}": tensor((4096,), numel=4096) for i in range(10_000)}),
            bytes(4 * 4096),
        ),
        "more bytes than",
    ),
    _raw("legacy, truncated", GOOD_LEGACY[:-4], "truncated"),
    _raw("legacy, no storage", GOOD_LEGACY[:-24], "truncated"),
    _raw("legacy, junk suffix", GOOD_LEGACY + b"x", "follow the last storage"),
    _raw(
        "legacy, two sizes",
        GOOD_LEGACY[:-24] + struct.pack("<q", 3) + bytes(12),
        "should have 4",
    ),
    *(
        _raw(f"name {bad!r}", torch_zip(table({bad: tensor()})), "name")
        for bad in (
            "\x1b[31mred",
            "::error::x",
            "../w",
            "a/../w",
            "a\nb",
            "",
            "w" * 9999,
        )
    ),
)

SAFETENSORS = tuple(
    _raw(title, content, says, ".safetensors")
    for title, content, says in (
        ("pickle renamed", GOOD_LEGACY, "holds a pickle"),
        ("zip renamed", GOOD_ZIP, "holds a pickle"),
        ("length 2**63", struct.pack("<Q", 1 << 63) + b"{}", "header claims"),
        ("99 MB header", struct.pack("<Q", 99 << 20) + b"{" * 64, "header claims"),
        ("header beyond the file", struct.pack("<Q", 999) + b"{}", "longer than"),
        ("not JSON", safetensors(None, raw=b"{oops}"), "not valid JSON"),
        ("deep JSON", safetensors(None, raw=b'{"a":' + b"[" * 99_999), "not valid"),
        ("overlap", _two_storages({"a": entry(), "b": entry(8, 24)}), "overlaps"),
        ("hole", _two_storages({"a": entry(), "b": entry(20, 36)}), "hole"),
        ("data that nothing names", _two_storages({"a": entry()}), "no tensor"),
        ("truncated", safetensors({"a": entry()}, bytes(8)), "truncated"),
        ("wrong product", safetensors({"a": entry(shape=(5,))}), "does not fit"),
        ("negative shape", safetensors({"a": entry(shape=(-4,))}), "malformed shape"),
        ("rank 65", safetensors({"a": entry(shape=(1,) * 65)}), "65 dimensions"),
        ("metadata", safetensors({"__metadata__": {"a": 1}}), "table of texts"),
        (
            "unknown type",
            safetensors({"a": {"dtype": "Q9", "shape": [4], "data_offsets": [0, 16]}}),
            "unknown element type",
        ),
        (
            "duplicate key",
            safetensors(None, raw=b'{"a": {}, "a": {}}'),
            "the same key twice",
        ),
        ("ANSI escape", safetensors({"\x1b[2Jw": entry()}), "unprintable"),
        ("log command", safetensors({"::error::w": entry()}), "command"),
        ("path", safetensors({"../../w": entry()}), "path"),
        ("no tensors", safetensors({}, b""), "no named tensors"),
    )
)

HOSTILE = (*PICKLES, *ZIPS, *TENSORS, *SAFETENSORS)
