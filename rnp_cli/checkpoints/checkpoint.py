"""What a model file turned out to hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from rnp_cli.graph import OnnxGraph


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights recovered from a model file, and where in it they were.

    Names in ``state_dict`` are as the file spells them, without ``prefix``, in file
    order; tensors are contiguous, finite, on the CPU and in their own dtype. Text in
    ``wrapper``, ``dropped`` and ``findings`` is escaped and bounded.
    """

    state_dict: dict[str, Tensor]
    format: str  # "PyTorch zip", "PyTorch legacy pickle", "TorchScript", "safetensors",
    # "ONNX"
    sha256: str  # of the whole file
    size: int  # bytes
    wrapper: str  # where the weights were, e.g. "state_dict"; "" when bare
    prefix: str  # removed from every name, e.g. "module."
    dropped: tuple[str, ...]  # other things in the file: "epoch", "optimizer", ...
    findings: tuple[str, ...]  # what a careful reader should know about the file
    graph: OnnxGraph | None = None  # how the weights are used, where the file says
