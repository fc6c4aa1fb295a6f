"""A torch network as a torch.export archive (.pt2), which holds its graph, too."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from rnp_cli.errors import RnpError
from rnp_cli.export.model import Prepared, SanitizedModel
from rnp_cli.export.quiet import quiet
from rnp_cli.export.trial import Trial

IMAGES = "images"  # what the one input is called
METADATA = "rnp.json"  # the extra file that holds the metadata


def prepare(model: SanitizedModel) -> Prepared:
    """Trace the network: any number of images in, a row of outputs for each.

    Raises RnpError where torch cannot trace it.
    """
    args, shapes = inputs(model.trial.example)
    try:
        with quiet():
            program = torch.export.export(model.network, args, dynamic_shapes=shapes)
    except Exception as error:  # of torch or of the user's code
        raise not_exported("torch.export", error) from error
    _strip(program)
    tensors: dict[str, Tensor] = dict(program.state_dict)
    return Prepared("torch.export", tensors, partial(_content, program, model.trial))


def inputs(example: Tensor) -> tuple[tuple[Tensor], tuple[dict[int, Any]]]:
    """Return what to trace a network with, and that the number of images is open.

    One image alone, torch would take for a network of one image.
    """
    return (torch.cat([example, example]),), ({0: Dim("batch")},)


def not_exported(to: str, error: Exception) -> RnpError:
    """Return the error for a network that torch cannot turn into a graph."""
    reason = str(error).strip().partition("\n")[0][:200]
    return RnpError(
        f"The network could not be exported to {to}: {type(error).__name__}: "
        f"{reason!a}",
        hint="Write .safetensors, which needs no graph.",
    )


def _strip(program: ExportedProgram) -> None:
    """Drop notes for debugging: they quote code, and the folders that it lies in."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta.pop("stack_trace", None)


def _content(
    program: ExportedProgram, trial: Trial, metadata: Mapping[str, str]
) -> bytes:
    extra = {METADATA: json.dumps(dict(sorted(metadata.items())))}
    archive = io.BytesIO()
    with quiet():
        torch.export.save(program, archive, extra_files=extra)
        archive.seek(0)
        # No file of anybody else's: the bytes were made two lines above.
        back = torch.export.load(archive)  # noqa: TID251
    same = back.state_dict.keys() == program.state_dict.keys() and all(
        torch.equal(back.state_dict[name], tensor)
        for name, tensor in program.state_dict.items()
    )
    if not same:
        raise RuntimeError("the written torch.export archive differs from the model")
    trial.check(back.module(), "The torch.export archive")
    return archive.getvalue()
