"""Gives an ONNX graph the plain form that the rest of the program relies on."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rnp_cli.checkpoints.onnx_operators import OPERATORS
from rnp_cli.graph import OnnxNode


def without_aliases(
    nodes: Sequence[OnnxNode], tensors: Collection[str], output: str
) -> list[OnnxNode]:
    """Let nodes use a tensor directly that an Identity only gives another name.

    Exporters write such nodes where several weights have equal values.
    """
    original: dict[str, str] = {}
    kept = []
    for node in nodes:
        inputs = tuple(original.get(name, name) for name in node.inputs)
        if node.op == "Identity" and inputs[0] in tensors and node.output != output:
            original[node.output] = inputs[0]
        else:
            kept.append(node.model_copy(update={"inputs": inputs}))
    return kept


def needed_for(output: str, nodes: Sequence[OnnxNode]) -> list[OnnxNode]:
    """Leave out the nodes that the output does not depend on."""
    wanted = {output}
    kept = []
    for node in reversed(nodes):
        if node.output in wanted:
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def with_own_weights(
    nodes: Sequence[OnnxNode], floats: Collection[str], taken: Collection[str]
) -> tuple[list[OnnxNode], dict[str, str], set[str]]:
    """Give each layer its own name for each of its weights.

    Pruning a layer must not reach another one that happens to share its numbers.
    Returns the nodes, name -> tensor for all floats in use, and which are a layer's.
    """
    names = _Names(taken)
    of_layers: set[str] = set()
    renamed = []
    for node in nodes:
        inputs = []
        for place, name in enumerate(node.inputs):
            if name not in floats:
                inputs.append(name)
            elif place in OPERATORS[node.op].parameters:
                inputs.append(names.own(name))
                of_layers.add(inputs[-1])
            else:
                inputs.append(names.shared(name))
        renamed.append(node.model_copy(update={"inputs": tuple(inputs)}))
    return renamed, names.tensor_of, of_layers


class _Names:
    def __init__(self, taken: Collection[str]) -> None:
        self.tensor_of: dict[str, str] = {}
        self._taken = set(taken)
        self._shared: dict[str, str] = {}
        self._copies: dict[str, int] = {}

    def own(self, tensor: str) -> str:
        """Return the tensor's name to its first user, a new one to each further."""
        name = tensor
        while name in self.tensor_of or (name != tensor and name in self._taken):
            self._copies[tensor] = self._copies.get(tensor, 1) + 1
            name = f"{tensor}_copy{self._copies[tensor]}"
        self.tensor_of[name] = tensor
        return name

    def shared(self, tensor: str) -> str:
        if tensor not in self._shared:
            self._shared[tensor] = self.own(tensor)
        return self._shared[tensor]
