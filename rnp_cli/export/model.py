"""What a format is given to write, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from rnp_cli.export.trial import Trial
from rnp_cli.graph import OnnxGraph


@dataclass(frozen=True, eq=False)
class SanitizedModel:
    """A model in all shapes that some format may want.

    state_dict: by the checkpoint's names. graph: of a model that came as ONNX. network:
    what files with a graph are made of, on the CPU, in eval mode. trial: what they are
    held against. output: what the network ends in, such as "logits".
    """

    state_dict: Mapping[str, Tensor]
    graph: OnnxGraph | None
    network: nn.Module
    trial: Trial
    output: str


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model in one format, but for the metadata.

    tensors: what the file holds, by its own names. content: the file's bytes with this
    metadata, checked against the model; it raises RnpError where they do not agree.
    """

    format: str
    tensors: Mapping[str, Tensor]
    content: Callable[[Mapping[str, str]], bytes]
    opset: int | None = None
