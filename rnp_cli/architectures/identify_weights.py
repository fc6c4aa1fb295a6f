"""From a state_dict to its architecture, with or without a name from the user."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from rnp_cli.architectures.architecture import Architecture
from rnp_cli.architectures.factory import is_factory, match_factory
from rnp_cli.architectures.named import match_named
from rnp_cli.architectures.onnx_graph import match_graph
from rnp_cli.architectures.recognize_shapes import recognize
from rnp_cli.architectures.shapes import Shapes
from rnp_cli.architectures.table import FAMILIES
from rnp_cli.errors import UsageError
from rnp_cli.graph import OnnxGraph


def identify(
    state_dict: Mapping[str, Tensor],
    *,
    name: str | None = None,
    graph: OnnxGraph | None = None,
) -> Architecture:
    """Return the architecture of a checkpoint; see identify_all for the arguments."""
    return identify_all(state_dict, name=name, graph=graph)[0]


def identify_all(
    state_dict: Mapping[str, Tensor],
    *,
    name: str | None = None,
    graph: OnnxGraph | None = None,
) -> tuple[Architecture, ...]:
    """Return every architecture that fits a checkpoint, the usual one first.

    The others differ from the first only in what weights do not show: a stride, a
    pooling, an activation, which input a module with two expects. Accuracy on clean
    samples tells them apart.

    Without ``name`` all names and shapes must be a family's, or else the order of the
    shapes must be that of one published member. ``name`` is one of known_names(),
    ``FILE.py:FACTORY`` (the user's own code, which is run) or a model of torchvision or
    timm. A ``graph`` that came with the checkpoint leaves nothing to find. Raises
    InputRefused where the checkpoint does not fit, and UsageError where ``name``
    cannot be used.
    """
    if graph is not None:
        if name is not None:
            raise UsageError(
                "The checkpoint says itself how it computes; --arch has no say in it.",
                hint="Leave --arch out for an ONNX model.",
            )
        return (match_graph(graph, state_dict),)
    shapes = Shapes.of(state_dict)
    if name is not None:
        if is_factory(name):
            return match_factory(name, shapes)
        return match_named(name, shapes, FAMILIES)
    return recognize(shapes)
