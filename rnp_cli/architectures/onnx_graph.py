"""The architecture of a checkpoint that brings its own graph, as ONNX files do."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from rnp_cli.architectures.architecture import Architecture
from rnp_cli.architectures.load_weights import load
from rnp_cli.architectures.onnx_module import GraphModule
from rnp_cli.architectures.shapes import Shapes
from rnp_cli.errors import InputRefused
from rnp_cli.graph import OnnxGraph

_BATCHES = (1, 2, 3, 256)
_LONGEST_REASON = 200
_NEAR = 1e-3


def match_graph(graph: OnnxGraph, state_dict: Mapping[str, Tensor]) -> Architecture:
    """Return the architecture that the graph spells out.

    The graph is tried on shapes first, then on random images, which must not
    influence each other. Raises InputRefused where it is no classifier of images.
    """
    shapes = Shapes.of(state_dict)
    build = partial(GraphModule, graph, shapes)
    try:
        with torch.device("meta"):
            module = build()
    except ValueError as error:
        raise _unusable(str(error)) from error
    channels, height, width = (int(size or 0) for size in graph.input.shape[1:])
    architecture = Architecture(
        name="ONNX graph",
        build=build,
        num_classes=_count_classes(module, graph),
        in_channels=channels,
        image_size=height if height == width else None,
        key_map=module.key_map,
        matched_by="graph",
        transposed=module.transposed,
    )
    _check_independence(load(architecture, state_dict), (channels, height, width))
    return architecture


def _count_classes(module: nn.Module, graph: OnnxGraph) -> int:
    """Return how many logits an image gets, whatever the number of images."""
    classes = set()
    for batch in _BATCHES:
        images = torch.empty(batch, *graph.input.shape[1:], device="meta")  # type: ignore[arg-type]
        try:
            with torch.no_grad():
                shape = module.eval()(images).shape
        except RuntimeError as error:
            raise _unusable(str(error)) from error
        if len(shape) != 2 or shape[0] != batch:
            raise _unusable(f"{batch} images give a result of shape {tuple(shape)}")
        classes.add(int(shape[1]))
    if len(classes) != 1 or min(classes) < 2:
        raise _unusable("its result is not one number for each of two or more classes")
    return classes.pop()


def _check_independence(network: nn.Module, image: tuple[int, int, int]) -> None:
    images = torch.rand(2, *image, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            together, alone = network(images), network(images[1:])
    except RuntimeError as error:  # what shapes alone do not show
        raise _unusable(str(error)) from error
    scale = together.abs().max().item()
    if not torch.allclose(together[1:], alone, _NEAR, _NEAR * scale, equal_nan=True):
        raise _unusable("what it says of an image depends on the others of the batch")


def _unusable(reason: str) -> InputRefused:
    line = reason.partition("\n")[0][:_LONGEST_REASON]
    return InputRefused(
        f"The ONNX graph cannot be used: {line}.",
        hint="Export the network again for inference, images in and logits out, with "
        "a dynamic batch; or give the PyTorch file that it was exported from.",
    )
