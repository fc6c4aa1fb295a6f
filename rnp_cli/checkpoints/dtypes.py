"""Element types by name, with their sizes, as each file format spells them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DType:
    """An element type: its torch name and its size in bytes.

    ``word`` is the unit that a byte order applies to; half of a complex number.
    """

    name: str
    size: int
    word: int


_SIZES = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "int16": 2,
    "uint16": 2,
    "float16": 2,
    "bfloat16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
}
DTYPES: dict[str, DType] = {
    **{name: DType(name, size, size) for name, size in _SIZES.items()},
    "complex64": DType("complex64", 8, 4),
    "complex128": DType("complex128", 16, 8),
}

STORAGE_CLASSES: dict[str, DType] = {
    "BoolStorage": DTYPES["bool"],
    "ByteStorage": DTYPES["uint8"],
    "CharStorage": DTYPES["int8"],
    "ShortStorage": DTYPES["int16"],
    "IntStorage": DTYPES["int32"],
    "LongStorage": DTYPES["int64"],
    "HalfStorage": DTYPES["float16"],
    "BFloat16Storage": DTYPES["bfloat16"],
    "FloatStorage": DTYPES["float32"],
    "DoubleStorage": DTYPES["float64"],
    "ComplexFloatStorage": DTYPES["complex64"],
    "ComplexDoubleStorage": DTYPES["complex128"],
    "UntypedStorage": DTYPES["uint8"],
    "_UntypedStorage": DTYPES["uint8"],
}

SAFETENSORS_DTYPES: dict[str, DType] = {
    "BOOL": DTYPES["bool"],
    "U8": DTYPES["uint8"],
    "I8": DTYPES["int8"],
    "F8_E4M3": DTYPES["float8_e4m3fn"],
    "F8_E5M2": DTYPES["float8_e5m2"],
    "I16": DTYPES["int16"],
    "U16": DTYPES["uint16"],
    "F16": DTYPES["float16"],
    "BF16": DTYPES["bfloat16"],
    "I32": DTYPES["int32"],
    "U32": DTYPES["uint32"],
    "F32": DTYPES["float32"],
    "I64": DTYPES["int64"],
    "U64": DTYPES["uint64"],
    "F64": DTYPES["float64"],
    "C64": DTYPES["complex64"],
}

# Between the reader and us: the format has no code for the widest complex numbers.
HANDOVER_DTYPES: dict[str, DType] = {
    **SAFETENSORS_DTYPES,
    "C128": DTYPES["complex128"],
}
