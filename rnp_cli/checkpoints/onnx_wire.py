"""Filters the bytes of an ONNX file before the protobuf library sees them.

An ONNX file is a protobuf message. The tables say, field by field, what may pass;
everything else is left out or refused. Texts must be UTF-8. The data of tensors stays
where it is: what passes in its place says where that is (two 64-bit numbers, start and
length).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from mmap import mmap
from typing import TYPE_CHECKING, Literal

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.refusals import malformed, over_limit, unsupported

if TYPE_CHECKING:
    from onnx import ModelProto

_MAX_FIELDS = 1_000_000
_MAX_VARINT = 10  # bytes
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
PLACE = struct.Struct("<QQ")  # start, length


@dataclass(frozen=True)
class Refused:
    """A field that makes the whole file unusable."""

    why: str


Rule = Literal["keep", "text", "data"] | Refused | Mapping[int, "Rule"]
Table = Mapping[int, Rule]

_TEXTS: dict[int, Rule] = {1: "text", 2: "text"}  # a key and its value
_SUBGRAPH = Refused("It has graphs inside its nodes (loops or branches).")
_TYPED = Refused("It has attributes that hold types or sparse tensors.")
TENSOR: Table = {
    1: "keep",  # dims
    2: "keep",  # data_type
    3: Refused("It has a tensor in segments."),
    **dict.fromkeys((4, 5, 7, 10, 11, 14), "keep"),  # numbers, where they are
    8: "text",  # name
    6: Refused("It has a tensor of texts."),
    9: "data",  # raw_data
    13: _TEXTS,  # external_data
}
_ATTRIBUTE: Table = {
    1: "text",  # name
    **dict.fromkeys((2, 3, 4, 7, 8, 20), "keep"),  # f, i, s, floats, ints, type
    5: TENSOR,
    6: _SUBGRAPH,
    11: _SUBGRAPH,
    **dict.fromkeys((9, 10, 14, 15, 22, 23), _TYPED),
    21: Refused("It has attributes that refer to a function's."),
}
_NODE: Table = {**dict.fromkeys((1, 2, 3, 4, 7), "text"), 5: _ATTRIBUTE}
_DIMENSION: Table = {1: "keep", 2: "text"}
_TENSOR_TYPE: Table = {1: "keep", 2: {1: _DIMENSION}}
_VALUE: Table = {1: "text", 2: {1: _TENSOR_TYPE}}
_GRAPH: Table = {
    1: _NODE,
    2: "text",  # name
    5: TENSOR,
    11: _VALUE,
    12: _VALUE,
    15: Refused("It has sparse tensors."),
}
MODEL: Table = {
    1: "keep",  # ir_version
    7: _GRAPH,
    8: {1: "text", 2: "keep"},  # opset_import
    20: Refused("It carries a training program."),
    25: Refused("It defines functions of its own."),
}
METADATA: Table = {14: _TEXTS}  # of a model: nothing but its metadata_props


def filtered(data: mmap, table: Table, limits: LoadLimits) -> bytes:
    """Return what ``table`` lets pass of a whole file; raises InputRefused.

    What passes without the tensors' data may have ``max_header_bytes``.
    """
    return bytes(_Filter(data, limits).message(0, len(data), table))


def parsed(passed: bytes) -> ModelProto:
    """Decode what the filter let pass; raises InputRefused."""
    # imported here, since no other format needs them
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    try:
        model: ModelProto = ModelProto.FromString(passed)
    except DecodeError:
        raise malformed("It is no sound protobuf message.") from None
    return model


class _Filter:
    def __init__(self, data: mmap, limits: LoadLimits) -> None:
        self._data = data
        self._left = limits.max_header_bytes
        self._fields = 0

    def message(self, at: int, end: int, table: Table) -> bytearray:
        passed = bytearray()
        while at < end:
            begin = at
            key, at = self._varint(at, end)
            number, kind = key >> 3, key & 7
            at, start = self._after(at, end, kind)
            rule = table.get(number)
            self._count()
            if rule is None:
                continue
            if isinstance(rule, Refused):
                raise unsupported(rule.why, _EXPORT_AGAIN)
            if rule == "keep":
                self._spend(at - begin)
                passed += self._data[begin:at]
                continue
            if kind != _BYTES:
                raise malformed("It has a field of the wrong kind.")
            if rule == "text":
                self._spend(at - begin)
                passed += self._data[begin:start] + self._text(start, at)
                continue
            if rule == "data":
                inner = bytearray(PLACE.pack(start, at - start))
            else:
                inner = self.message(start, at, rule)
            passed += _encoded(key) + _encoded(len(inner)) + inner
        return passed

    def _after(self, at: int, end: int, kind: int) -> tuple[int, int]:
        """Return where a field ends, and where its content starts."""
        start = at
        if kind == _VARINT:
            _, at = self._varint(at, end)
        elif kind == _FIXED64:
            at += 8
        elif kind == _FIXED32:
            at += 4
        elif kind == _BYTES:
            length, start = self._varint(at, end)
            at = start + length
        else:
            raise malformed("It has a field of an unknown kind.")
        if at > end:
            raise malformed("It ends early: the file is truncated.")
        return at, start

    def _text(self, start: int, end: int) -> bytes:
        text = self._data[start:end]
        try:
            text.decode()
        except UnicodeDecodeError:
            raise malformed("It has a name that is no text.") from None
        return text

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for place in range(_MAX_VARINT):
            if at + place >= end:
                raise malformed("It ends early: the file is truncated.")
            byte = self._data[at + place]
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value, at + place + 1
        raise malformed("It has a number that is too long.")

    def _count(self) -> None:
        self._fields += 1
        if self._fields > _MAX_FIELDS:
            raise over_limit(f"It has more than {_MAX_FIELDS:,} fields.")

    def _spend(self, nbytes: int) -> None:
        self._left -= nbytes
        if self._left < 0:
            raise over_limit("Its graph, without the weights, is too large.")


def _encoded(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


_EXPORT_AGAIN = (
    "Export the network again for inference, as one plain graph: model.eval(), then "
    "torch.onnx.export."
)
