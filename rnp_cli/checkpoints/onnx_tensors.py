"""Tensors of an ONNX file: where their bytes lie, and that they fit their shape."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rnp_cli.checkpoints.dtypes import DTYPES, DType
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.onnx_wire import PLACE
from rnp_cli.checkpoints.records import Span
from rnp_cli.checkpoints.refusals import malformed, quote, unsupported
from rnp_cli.checkpoints.source import Source
from rnp_cli.checkpoints.tensor_names import check_name

if TYPE_CHECKING:
    from onnx import TensorProto

_MAX_DIMENSION = 1 << 63
_EXTERNAL = 1  # data_location


@dataclass(frozen=True)
class _Encoding:
    """How ONNX stores an element type when it does not use raw bytes."""

    dtype: DType
    field: str
    code: str  # of one value of the field, for struct
    unpacked: str  # of one element


# ONNX's number of an element type -> what it is
_ENCODINGS = {
    1: _Encoding(DTYPES["float32"], "float_data", "f", "f"),
    6: _Encoding(DTYPES["int32"], "int32_data", "i", "i"),
    7: _Encoding(DTYPES["int64"], "int64_data", "q", "q"),
    9: _Encoding(DTYPES["bool"], "int32_data", "?", "?"),
    10: _Encoding(DTYPES["float16"], "int32_data", "H", "e"),
    11: _Encoding(DTYPES["float64"], "double_data", "d", "d"),
    16: _Encoding(DTYPES["bfloat16"], "int32_data", "H", ""),
}
_BY_NAME = {encoding.dtype.name: encoding for encoding in _ENCODINGS.values()}
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A tensor's type and shape, and its little-endian, row-major bytes."""

    dtype: DType
    shape: tuple[int, ...]
    span: Span

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_float(self) -> bool:
        """Whether it holds floating-point numbers."""
        return self.dtype.name in FLOATS

    def values(self) -> tuple[float, ...]:
        """Return the elements; for small tensors. Not for bfloat16."""
        span = self.span
        content = span.buffer[span.start : span.start + span.nbytes]
        code = _BY_NAME[self.dtype.name].unpacked
        return struct.unpack(f"<{self.numel}{code}", content)


def element_type(number: int, name: str) -> DType:
    """Return the element type that ONNX numbers so; raises InputRefused."""
    if number not in _ENCODINGS:
        raise unsupported(f"{quote(name)} has an element type that is not supported.")
    return _ENCODINGS[number].dtype


def stored_tensor(
    proto: TensorProto, name: str, source: Source, limits: LoadLimits
) -> StoredTensor:
    """Check a tensor whose raw data the filter has replaced by its place.

    Raises InputRefused, above all where the data is said to be in another file.
    """
    check_name(name, limits)
    if proto.data_location == _EXTERNAL or proto.external_data:
        raise unsupported(
            f"{quote(name)} is not in the file: its values are to be read from "
            "another one (external data). Whoever made the file chose that path, and "
            "it may lead anywhere, so it is never followed.",
            "Save the model as one file: torch.onnx.export(..., external_data=False), "
            "or onnx.save_model(..., save_as_external_data=False).",
        )
    dtype = element_type(proto.data_type, name)
    shape = tuple(proto.dims)
    if len(shape) > limits.max_rank:
        raise malformed(f"{quote(name)} has {len(shape):,} dimensions.")
    if any(size < 0 for size in shape):
        raise malformed(f"{quote(name)} has a negative dimension.")
    wanted = math.prod(shape) * dtype.size
    if wanted >= _MAX_DIMENSION:
        raise malformed(f"{quote(name)} has absurd dimensions.")
    span = _span(proto, name, source)
    if span.nbytes != wanted:
        raise malformed(
            f"The shape of {quote(name)} asks for {wanted:,} bytes, and it has "
            f"{span.nbytes:,}."
        )
    return StoredTensor(dtype=dtype, shape=shape, span=span)


def small_tensor(
    dtype: str, shape: tuple[int, ...], values: tuple[float, ...]
) -> StoredTensor:
    """Make a tensor of a few given values."""
    encoding = _BY_NAME[dtype]
    content = bytearray(struct.pack(f"<{len(values)}{encoding.unpacked}", *values))
    span = Span(buffer=content, start=0, nbytes=len(content))
    return StoredTensor(dtype=encoding.dtype, shape=shape, span=span)


def _span(proto: TensorProto, name: str, source: Source) -> Span:
    if proto.HasField("raw_data"):
        start, nbytes = PLACE.unpack(proto.raw_data)
        return Span(buffer=source.data, start=start, nbytes=nbytes)
    encoding = _ENCODINGS[proto.data_type]
    values = getattr(proto, encoding.field)
    try:
        content = bytearray(struct.pack(f"<{len(values)}{encoding.code}", *values))
    except struct.error:
        raise malformed(f"{quote(name)} has values beyond its type.") from None
    return Span(buffer=content, start=0, nbytes=len(content))
