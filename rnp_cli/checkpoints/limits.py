"""How much a model file may ask for before it is refused."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

_BYTES_PER_SECOND = 32 << 20  # what a slow machine reads, checks and writes


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadLimits:
    """Caps on everything whose size the file itself declares; all are positive.

    The defaults leave room for large image classifiers saved with their optimizer.
    A dataclass and not a pydantic model: the reader knows the standard library only.
    """

    max_file_bytes: int = 4 << 30
    max_header_bytes: int = 16 << 20  # of safetensors
    max_members: int = 100_000  # in a zip archive
    max_inflation: int = 4  # unpacked bytes per file byte
    max_opcodes: int = 3_000_000  # in one pickle
    max_memo: int = 1_000_000
    max_stack: int = 200_000
    max_nesting: int = 500  # containers inside containers
    max_string: int = 256 << 20  # one text in a pickle
    max_name_length: int = 512  # characters, of a tensor
    max_rank: int = 32
    max_tensors: int = 100_000
    max_tensor_bytes: int = 8 << 30  # all of them together
    max_sharing: int = 4  # tensor bytes per stored byte
    max_answer_bytes: int = 64 << 20  # what the reader may say beside the tensors
    max_shards: int = 1_000  # files of one model
    spare_memory: int = 768 << 20  # bytes of the reader, beside the file's own
    onnx_memory: int = 256 << 20  # for the libraries of ONNX, where they are needed
    cpu_seconds: int = 10  # of the reader, and one more per 32 MiB of file
    wall_seconds: int = 18  # likewise

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value <= 0:
                raise ValueError(f"{field.name} must be a positive integer: {value!r}")

    def address_space(self, file_size: int, *, is_onnx: bool = False) -> int:
        """Bytes that the reader may map: the file, unpacked, and some to work with."""
        spare = self.spare_memory + (self.onnx_memory if is_onnx else 0)
        return spare + (1 + self.max_inflation) * file_size

    def cpu_time(self, file_size: int) -> int:
        """Seconds of processor time that the reader may use."""
        return self.cpu_seconds + file_size // _BYTES_PER_SECOND

    def wall_time(self, file_size: int) -> int:
        """Seconds after which the reader is stopped."""
        return self.wall_seconds + file_size // _BYTES_PER_SECOND


DEFAULT_LIMITS = LoadLimits()
