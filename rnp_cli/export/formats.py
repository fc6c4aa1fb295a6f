"""The formats that a sanitized model is written in, by the ending of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from rnp_cli.export import safetensors
from rnp_cli.export.model import Prepared, SanitizedModel


def _safetensors(model: SanitizedModel) -> Prepared:
    def content(metadata: Mapping[str, str]) -> bytes:
        marked = {"format": "pt", **metadata}
        return safetensors.safetensors_bytes(model.state_dict, marked)

    return Prepared("safetensors", model.state_dict, content)


def _onnx(model: SanitizedModel) -> Prepared:
    if model.graph is None:
        from rnp_cli.export import onnx_from_torch

        return onnx_from_torch.prepare(model)
    from rnp_cli.export import onnx  # it needs onnx, nothing else does

    content = partial(onnx.onnx_bytes, model.graph, model.state_dict)
    return Prepared("ONNX", model.state_dict, content, model.graph.opset)


def _torch_export(model: SanitizedModel) -> Prepared:
    from rnp_cli.export import torch_export  # torch.export takes a second to import

    return torch_export.prepare(model)


FORMATS: dict[str, Callable[[SanitizedModel], Prepared]] = {
    ".safetensors": _safetensors,
    ".onnx": _onnx,
    ".pt2": _torch_export,
}
