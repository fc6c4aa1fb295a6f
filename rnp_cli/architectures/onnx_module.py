"""A torch module that computes what an ONNX graph says."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rnp_cli.architectures.onnx_layers import Layer, layer_of
from rnp_cli.architectures.onnx_linear import with_linear_layers
from rnp_cli.architectures.onnx_pointwise import POINTWISE
from rnp_cli.architectures.onnx_run import Call, Operator
from rnp_cli.architectures.onnx_shaping import SHAPING
from rnp_cli.architectures.onnx_windows import WINDOWS
from rnp_cli.architectures.shapes import Shape
from rnp_cli.graph import OnnxGraph

OPERATORS: dict[str, Operator] = {**POINTWISE, **WINDOWS, **SHAPING}
_MAX_ELEMENTS = 1 << 26  # of one value, for one image
_MAX_ALL_ELEMENTS = 1 << 29
_MAX_INTEGERS = 1 << 16
_NONSENSE = (ArithmeticError, LookupError, TypeError, ValueError)


class GraphModule(nn.Module):
    """Convolutions, linear layers and batch normalizations in ``layers``, by node.

    Other floating-point tensors of the checkpoint are buffers in ``values``. Raises
    ValueError where the graph's layers and the shapes do not fit.
    """

    def __init__(self, graph: OnnxGraph, shapes: Mapping[str, Shape]) -> None:
        super().__init__()
        self._graph = graph
        self._shapes = dict(shapes)
        self._nodes = with_linear_layers(graph, shapes)
        made = {str(i): layer_of(node, shapes) for i, node in enumerate(self._nodes)}
        self._layers: dict[str, Layer] = {k: v for k, v in made.items() if v}
        self.layers = nn.ModuleDict({k: v.build() for k, v in self._layers.items()})
        owned = {name for v in self._layers.values() for name in v.tensors.values()}
        self._free = [name for name in shapes if name not in owned]
        self.values = nn.Module()
        for i, name in enumerate(self._free):
            self.values.register_buffer(f"{i}", torch.zeros(shapes[name]))
        self.scalars = nn.Module()
        for i, scalar in enumerate(graph.scalars.values()):
            number = torch.full(scalar.shape, scalar.value)
            self.scalars.register_buffer(f"{i}", number, persistent=False)
        self._integers = {
            name: torch.tensor(
                value.values, dtype=getattr(torch, value.dtype), device="cpu"
            ).view(value.shape)
            for name, value in graph.integers.items()
        }
        self._tried: set[torch.Size] = set()

    @property
    def key_map(self) -> dict[str, str]:
        """Each tensor's name in the checkpoint -> its name in this module."""
        names = {name: f"values.{i}" for i, name in enumerate(self._free)}
        for key, layer in self._layers.items():
            for own, theirs in layer.tensors.items():
                names[theirs] = f"layers.{key}.{own}"
        return names

    @property
    def transposed(self) -> frozenset[str]:
        """Checkpoint's names of the weights that this module keeps transposed."""
        layers = self._layers.values()
        return frozenset(v.tensors["weight"] for v in layers if v.transposed)

    def forward(self, images: Tensor) -> Tensor:
        """Return what the graph gives for images (batch, channel, height, width).

        Raises RuntimeError where the images or the graph's operators do not fit.
        """
        if images.shape[1:] != self._graph.input.shape[1:]:
            size = " x ".join(map(str, self._graph.input.shape[1:]))
            raise RuntimeError(f"the graph takes images of {size}")
        if images.shape not in self._tried:
            self._try(images.shape)
        return self._compute(images)

    def _try(self, shape: torch.Size) -> None:
        """Compute shapes only, so that a graph made to fill the memory cannot."""
        with torch.device("meta"), torch.no_grad():
            twin = GraphModule(self._graph, self._shapes).eval()
            twin._compute(torch.empty(shape))
        self._tried.add(shape)

    def _compute(self, images: Tensor) -> Tensor:
        values: dict[str, Tensor | None] = {"": None, **self._integers}
        values.update(zip(self._free, self.values.buffers(), strict=True))
        values.update(zip(self._graph.scalars, self.scalars.buffers(), strict=True))
        values[self._graph.input.name] = images
        last_use = {n: i for i, node in enumerate(self._nodes) for n in node.inputs}
        left = _MAX_ALL_ELEMENTS * len(images)
        for i, node in enumerate(self._nodes):
            layer = self._layers.get(str(i))
            inputs = node.inputs if layer is None else node.inputs[:1]
            call = Call(self._graph, node, [values[n] for n in inputs], images)
            try:
                run = OPERATORS[node.op] if layer is None else None
                result = self.layers[str(i)](call.x) if run is None else run(call)
            except _NONSENSE as error:
                raise RuntimeError(f"{node.op} to {node.output}: {error}") from error
            values[node.output] = result
            left -= _count(result, images)
            if left < 0:
                raise RuntimeError(f"{node.op} to {node.output} makes too many values")
            for name in node.inputs:
                is_done = last_use[name] == i and name != self._graph.output.name
                if name and is_done:
                    values.pop(name, None)
        output = values[self._graph.output.name]
        if output is None:
            raise RuntimeError("the graph makes no output")
        return output


def _count(result: Tensor, images: Tensor) -> int:
    """Count the elements of a value; raises RuntimeError where it is out of bounds."""
    count, most = math.prod(result.shape), _MAX_INTEGERS
    if result.is_floating_point():
        most = _MAX_ELEMENTS * len(images)
        if result.device != images.device:
            raise RuntimeError("integers become numbers of another kind on their own")
    if count > most:
        raise RuntimeError(f"a value of {count:,} elements is too large")
    return count
