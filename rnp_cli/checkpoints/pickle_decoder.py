"""Splits a pickle into opcodes and arguments; raises InputRefused, and nothing else.

Arguments are read as the unpickler itself would, with sizes checked before reading.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from mmap import mmap

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.refusals import malformed, over_limit

PickleBytes = BytesIO | mmap
_Reader = Callable[[PickleBytes, LoadLimits], object]


def opcodes(file: PickleBytes, limits: LoadLimits) -> Iterator[tuple[str, object]]:
    """Yield the name and the argument of each opcode, without end but the file's."""
    while code := file.read(1):
        if code not in _OPCODES:
            raise malformed(f"It is no sound pickle: no opcode has the byte {code!r}.")
        name, read = _OPCODES[code]
        try:
            argument = None if read is None else read(file, limits)
        except ValueError:
            raise malformed(
                f"It is no sound pickle: {name} has a malformed argument."
            ) from None
        yield name, argument
    raise malformed("It is no sound pickle: it has no end, so it may be truncated.")


def _bytes(file: PickleBytes, count: int, limits: LoadLimits) -> bytes:
    if count > limits.max_string:
        raise over_limit(f"A pickle has a text of {count:,} bytes.")
    content = file.read(count)
    if len(content) < count:
        raise malformed("It is no sound pickle: a text reaches beyond its end.")
    return content


def _line(file: PickleBytes, limits: LoadLimits) -> bytes:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise malformed("It is no sound pickle: a line has no end.")
    if len(line) > limits.max_string:
        raise over_limit(f"A pickle has a text of {len(line):,} bytes.")
    return line[:-1]


def _packed(layout: str) -> _Reader:
    packing = struct.Struct(layout)

    def read(file: PickleBytes, limits: LoadLimits) -> object:
        (value,) = packing.unpack(_bytes(file, packing.size, limits))
        return value

    return read


def _counted(layout: str, decode: Callable[[bytes], object]) -> _Reader:
    packing = struct.Struct(layout)

    def read(file: PickleBytes, limits: LoadLimits) -> object:
        (count,) = packing.unpack(_bytes(file, packing.size, limits))
        if count < 0:
            raise malformed("It is no sound pickle: a text has a negative size.")
        return decode(_bytes(file, count, limits))

    return read


def _lined(decode: Callable[[bytes], object]) -> _Reader:
    return lambda file, limits: decode(_line(file, limits))


def _two_lines(file: PickleBytes, limits: LoadLimits) -> object:
    return _line(file, limits).decode(), _line(file, limits).decode()


def _short_number(line: bytes) -> object:
    return {b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line)


def _quoted(line: bytes) -> object:
    text = line.strip()
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise ValueError
    if b"\\" in text:  # escapes could spell a name that is not seen as such
        raise ValueError
    return text[1:-1].decode("latin-1")


def _long(content: bytes) -> object:
    return int.from_bytes(content, "little", signed=True)


def _utf8(content: bytes) -> object:
    return content.decode("utf-8", "surrogatepass")


def _latin1(content: bytes) -> object:
    return content.decode("latin-1")


_OPCODES: dict[bytes, tuple[str, _Reader | None]] = {
    b"(": ("MARK", None),
    b".": ("STOP", None),
    b"0": ("POP", None),
    b"1": ("POP_MARK", None),
    b"2": ("DUP", None),
    b"F": ("FLOAT", _lined(float)),
    b"I": ("INT", _lined(_short_number)),
    b"J": ("BININT", _packed("<i")),
    b"K": ("BININT1", _packed("<B")),
    b"L": ("LONG", _lined(lambda line: int(line.removesuffix(b"L")))),
    b"M": ("BININT2", _packed("<H")),
    b"N": ("NONE", None),
    b"P": ("PERSID", _lined(bytes)),
    b"Q": ("BINPERSID", None),
    b"R": ("REDUCE", None),
    b"S": ("STRING", _lined(_quoted)),
    b"T": ("BINSTRING", _counted("<i", _latin1)),
    b"U": ("SHORT_BINSTRING", _counted("<B", _latin1)),
    b"V": ("UNICODE", _lined(lambda line: line.decode("raw-unicode-escape"))),
    b"X": ("BINUNICODE", _counted("<I", _utf8)),
    b"a": ("APPEND", None),
    b"b": ("BUILD", None),
    b"c": ("GLOBAL", _two_lines),
    b"d": ("DICT", None),
    b"}": ("EMPTY_DICT", None),
    b"e": ("APPENDS", None),
    b"g": ("GET", _lined(int)),
    b"h": ("BINGET", _packed("<B")),
    b"i": ("INST", _two_lines),
    b"j": ("LONG_BINGET", _packed("<I")),
    b"l": ("LIST", None),
    b"]": ("EMPTY_LIST", None),
    b"o": ("OBJ", None),
    b"p": ("PUT", _lined(int)),
    b"q": ("BINPUT", _packed("<B")),
    b"r": ("LONG_BINPUT", _packed("<I")),
    b"s": ("SETITEM", None),
    b"t": ("TUPLE", None),
    b")": ("EMPTY_TUPLE", None),
    b"u": ("SETITEMS", None),
    b"G": ("BINFLOAT", _packed(">d")),
    b"B": ("BINBYTES", _counted("<I", bytes)),
    b"C": ("SHORT_BINBYTES", _counted("<B", bytes)),
    b"\x80": ("PROTO", _packed("<B")),
    b"\x81": ("NEWOBJ", None),
    b"\x82": ("EXT1", _packed("<B")),
    b"\x83": ("EXT2", _packed("<H")),
    b"\x84": ("EXT4", _packed("<i")),
    b"\x85": ("TUPLE1", None),
    b"\x86": ("TUPLE2", None),
    b"\x87": ("TUPLE3", None),
    b"\x88": ("NEWTRUE", None),
    b"\x89": ("NEWFALSE", None),
    b"\x8a": ("LONG1", _counted("<B", _long)),
    b"\x8b": ("LONG4", _counted("<i", _long)),
    b"\x8c": ("SHORT_BINUNICODE", _counted("<B", _utf8)),
    b"\x8d": ("BINUNICODE8", _counted("<Q", _utf8)),
    b"\x8e": ("BINBYTES8", _counted("<Q", bytes)),
    b"\x8f": ("EMPTY_SET", None),
    b"\x90": ("ADDITEMS", None),
    b"\x91": ("FROZENSET", None),
    b"\x92": ("NEWOBJ_EX", None),
    b"\x93": ("STACK_GLOBAL", None),
    b"\x94": ("MEMOIZE", None),
    b"\x95": ("FRAME", _packed("<Q")),
    b"\x96": ("BYTEARRAY8", _counted("<Q", bytes)),
    b"\x97": ("NEXT_BUFFER", None),
    b"\x98": ("READONLY_BUFFER", None),
}
