"""What a look into a model file finds; known to the reader's process and to ours."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rnp_cli.checkpoints.pickle_globals import Severity


@dataclass(frozen=True, kw_only=True)
class ScannedTensor:
    """One tensor: its shape, and how many of its elements are not finite."""

    name: str
    dtype: str  # by its torch name, e.g. "float32"
    shape: tuple[int, ...]
    nan: int
    inf: int

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class ScannedGlobal:
    """A class or function that a pickle names, ``module.name``; never looked up."""

    name: str
    severity: Severity


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why the file is refused, and what to do next."""

    message: str
    hint: str


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Everything that is known of a model file; every text is escaped and bounded.

    Where ``refusal`` is set, the rest is what was found before the file was refused:
    ``format`` and ``sha256`` may be "", and ``tensors`` empty.
    """

    file: str
    size: int  # bytes
    sha256: str  # of the whole file; of a folder, see hf_folder.py
    format: str
    suffix_agrees: bool  # with what the file is
    tensors: tuple[ScannedTensor, ...]  # in file order, without ``prefix``
    wrapper: str
    prefix: str
    dropped: tuple[str, ...]
    globals: tuple[ScannedGlobal, ...]  # the worst first
    findings: tuple[str, ...]
    refusal: Refusal | None

    @classmethod
    def blank(cls, *, file: str = "", size: int = 0) -> Scan:
        """Begin with a file of which nothing is known."""
        return cls(
            file=file,
            size=size,
            sha256="",
            format="",
            suffix_agrees=True,
            tensors=(),
            wrapper="",
            prefix="",
            dropped=(),
            globals=(),
            findings=(),
            refusal=None,
        )

    @property
    def parameters(self) -> int:
        """Number of elements of all tensors."""
        return sum(tensor.numel for tensor in self.tensors)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the reader's process says: the scan, and an ONNX model's graph as JSON."""

    scan: Scan
    graph: str = ""  # where there is none, and where the tensors are not asked for
