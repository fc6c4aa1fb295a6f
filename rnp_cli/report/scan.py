"""What a scan found, as data; every format is made from this."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorInfo(_Part):
    """One tensor, and how many of its values are not finite."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nan: int
    inf: int


class LayerInfo(_Part):
    """The tensors whose names are the same up to the last dot."""

    name: str
    parameters: int
    tensors: tuple[TensorInfo, ...]


class GlobalInfo(_Part):
    """A class or function that a pickle names; it was never looked up."""

    name: str
    severity: Literal["harmless", "unknown", "gadget"]


class RefusalInfo(_Part):
    """Why a file is refused, and what to do next."""

    message: str
    hint: str


class ArchitectureGuess(_Part):
    """The networks that names and shapes fit, the usual one first, or why none does."""

    names: tuple[str, ...]
    matched_by: Literal["names", "order"] | None = None
    num_classes: int | None = None
    in_channels: int | None = None
    reason: str = ""


Opinion = Literal["flagged", "passed", "not read", "error", "timed out"]


class SecondOpinion(_Part):
    """What another scanner says of the file; it decides nothing here."""

    tool: str
    verdict: Opinion


class ScannedModel(_Part):
    """One model file, or one folder that is a model.

    Where ``refusal`` is set, the rest is what was found before the file was refused.
    """

    path: str
    size: int
    sha256: str
    format: str
    suffix_agrees: bool
    parameters: int
    layers: tuple[LayerInfo, ...]
    wrapper: str
    prefix: str
    dropped: tuple[str, ...]
    architecture: ArchitectureGuess | None  # None where nothing was guessed
    globals: tuple[GlobalInfo, ...]
    findings: tuple[str, ...]
    refusal: RefusalInfo | None
    second_opinions: tuple[SecondOpinion, ...] = ()  # where they were asked for

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """All tensors, layer by layer."""
        return tuple(tensor for layer in self.layers for tensor in layer.tensors)


class ScanReport(_Part):
    """Everything that was scanned, and how many files were not model files."""

    schema_version: Literal[1] = 1
    tool_version: str
    files: tuple[ScannedModel, ...]
    without_models: tuple[str, ...] = ()  # folders that were given, by their paths
    other_files: int  # in the folders, with other suffixes: not looked at

    @property
    def refused(self) -> int:
        """Number of files that were refused."""
        return sum(file.refusal is not None for file in self.files)
