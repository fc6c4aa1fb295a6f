"""How much a model file may ask for before it is refused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LoadLimits(BaseModel):
    """Caps on everything whose size the file itself declares.

    The defaults leave room for large image classifiers saved with their optimizer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_file_bytes: int = Field(default=4 << 30, gt=0)
    max_header_bytes: int = Field(default=16 << 20, gt=0)  # of safetensors
    max_members: int = Field(default=100_000, gt=0)  # in a zip archive
    max_inflation: int = Field(default=4, gt=0)  # unpacked bytes per file byte
    max_opcodes: int = Field(default=3_000_000, gt=0)  # in one pickle
    max_memo: int = Field(default=1_000_000, gt=0)
    max_stack: int = Field(default=200_000, gt=0)
    max_nesting: int = Field(default=500, gt=0)  # containers inside containers
    max_string: int = Field(default=256 << 20, gt=0)  # one text in a pickle
    max_name_length: int = Field(default=512, gt=0)  # characters, of a tensor
    max_rank: int = Field(default=32, gt=0)
    max_tensors: int = Field(default=100_000, gt=0)
    max_tensor_bytes: int = Field(default=8 << 30, gt=0)  # all of them together
    max_sharing: int = Field(default=4, gt=0)  # tensor bytes per stored byte


DEFAULT_LIMITS = LoadLimits()
