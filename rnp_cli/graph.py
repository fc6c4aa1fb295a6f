"""A network as ONNX writes it down: checked, inert, and without its weights.

Whoever reads an ONNX file makes one of these; building the network and writing it
again start from here, never from the file. It goes through JSON unchanged.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

Attribute = int | float | str | tuple[int, ...]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, ser_json_inf_nan="strings"
    )


class OnnxValue(_Part):
    """An input or output. A dimension is a number, a name, or None where unknown."""

    name: str
    dtype: str  # as torch spells it: "float32"
    shape: tuple[int | str | None, ...]


class OnnxNode(_Part):
    """One operator with a single output; an input left out is named ""."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Attribute] = {}


class OnnxIntegers(_Part):
    """Integers or booleans that the graph computes shapes and positions with."""

    dtype: str
    shape: tuple[int, ...]
    values: tuple[int, ...]  # in row-major order


class OnnxScalar(_Part):
    """One floating-point number that belongs to no layer, such as a bound of Clip."""

    dtype: str
    shape: tuple[int, ...]  # all ones, or none
    value: float = Field(strict=False)  # may be infinite, a word in JSON


class OnnxGraph(_Part):
    """Nodes in the order in which they run, and what they run on.

    Every name is made once, before it is used. Names that nothing here makes are
    weights: tensors of the checkpoint's state_dict. A weight of a layer (a Conv, a
    Gemm, ...) is used by that layer alone.
    """

    name: str
    opset: int
    ir_version: int
    input: OnnxValue
    output: OnnxValue
    nodes: tuple[OnnxNode, ...]
    integers: dict[str, OnnxIntegers]
    scalars: dict[str, OnnxScalar]
