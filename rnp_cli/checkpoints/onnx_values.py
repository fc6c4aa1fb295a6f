"""What an ONNX graph takes in and gives out: images, and one result for each."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.onnx_tensors import FLOATS, element_type
from rnp_cli.checkpoints.refusals import listed, malformed, quote, unsupported
from rnp_cli.checkpoints.tensor_names import check_name
from rnp_cli.graph import OnnxValue

if TYPE_CHECKING:
    from onnx import GraphProto, ValueInfoProto

_MAX_ELEMENTS = 1 << 24  # of one image
_CHANNELS = (1, 3)


def graph_input(
    graph: GraphProto, tensors: Collection[str], limits: LoadLimits
) -> OnnxValue:
    """Return the one input that is no weight: (batch, channel, height, width).

    Raises InputRefused where it is not an image of a fixed size.
    """
    # old files list the weights among the inputs
    inputs = [value for value in graph.input if value.name not in tensors]
    if len(inputs) != 1:
        raise unsupported(
            f"It has {len(inputs)} inputs ({listed(v.name for v in inputs)}); a "
            "classifier of images has one."
        )
    value = _value(inputs[0], limits)
    check_images(value)
    return value


def check_images(value: OnnxValue) -> None:
    """Refuse an input that takes no images of a fixed size."""
    image = [size for size in value.shape[1:] if isinstance(size, int)]
    shown = " x ".join("?" if s is None else quote(s) for s in value.shape)
    if len(value.shape) != 4 or value.dtype not in FLOATS:
        raise unsupported(
            f"Its input is {shown} of {value.dtype}; images are batch x channels x "
            "height x width of floating-point numbers."
        )
    if len(image) != 3:
        raise unsupported(
            f"Its input is {shown}: the size of an image is left open.",
            "Export it again with fixed channels, height and width; only the batch "
            "may be dynamic.",
        )
    if image[0] not in _CHANNELS:
        raise unsupported(
            f"Its input is {shown}, which has {image[0]:,} channels; images have 1 or "
            "3, and they come before height and width."
        )
    if math.prod(image) > _MAX_ELEMENTS:
        raise unsupported(f"Its input is {shown}, which is too large.")


def graph_output(graph: GraphProto, limits: LoadLimits) -> OnnxValue:
    """Return the one output; raises InputRefused where there is another number."""
    if len(graph.output) != 1:
        raise unsupported(
            f"It has {len(graph.output)} outputs; a classifier has one.",
            "Export it again with the logits as the only output.",
        )
    return _value(graph.output[0], limits)


def _value(value: ValueInfoProto, limits: LoadLimits) -> OnnxValue:
    check_name(value.name, limits)
    tensor = value.type.tensor_type
    if len(tensor.shape.dim) > limits.max_rank:
        raise malformed(f"{quote(value.name)} has too many dimensions.")
    shape: list[int | str | None] = []
    for dimension in tensor.shape.dim:
        if dimension.HasField("dim_value"):
            if dimension.dim_value <= 0:
                raise malformed(f"{quote(value.name)} has a dimension below one.")
            shape.append(dimension.dim_value)
        elif dimension.dim_param:
            check_name(dimension.dim_param, limits)
            shape.append(dimension.dim_param)
        else:
            shape.append(None)
    dtype = element_type(tensor.elem_type, value.name).name
    return OnnxValue(name=value.name, dtype=dtype, shape=tuple(shape))
