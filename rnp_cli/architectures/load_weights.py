"""Put a checkpoint's weights into a fresh module: all of them, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rnp_cli.architectures.architecture import Architecture
from rnp_cli.architectures.compare import difference, printable
from rnp_cli.architectures.module import build_module
from rnp_cli.architectures.refusal import unsuitable
from rnp_cli.architectures.shapes import BATCH_COUNT, Shapes
from rnp_cli.errors import InputRefused


def load(architecture: Architecture, state_dict: Mapping[str, Tensor]) -> nn.Module:
    """Build the module with the checkpoint's weights: float32, CPU, eval mode.

    Every parameter and buffer comes from the checkpoint; only an absent
    ``num_batches_tracked`` stays at its initial zero. Raises InputRefused where a
    tensor is missing, unexpected, of another shape or not made of floats.
    """
    module = build_module(architecture.name, architecture.build).float().cpu()
    own = module.state_dict()
    key_map = {name: f"{name} (not mapped)" for name in state_dict}
    key_map |= architecture.key_map
    weights = {
        key_map[name]: value.t() if name in architecture.transposed else value
        for name, value in state_dict.items()
    }
    differs = difference(Shapes.of(weights), Shapes.of(own))
    if differs.count:
        raise unsuitable(architecture.name, differs)
    for name, value in weights.items():
        if own[name].is_floating_point() and not _holds_floats(value):
            kind = f"{value.dtype}, {value.layout}, {value.device.type}"
            raise InputRefused(
                f"{printable(name)} holds no plain floating-point values ({kind}).",
                hint="Save the model's weights as dense float tensors.",
            )
    for name, value in own.items():
        if name.rpartition(".")[2] == BATCH_COUNT:
            weights.setdefault(name, torch.zeros_like(value))
    module.load_state_dict(weights, strict=True)
    return module.eval()


def _holds_floats(value: Tensor) -> bool:
    return (
        value.is_floating_point()
        and value.layout == torch.strided
        and value.device.type != "meta"
    )
