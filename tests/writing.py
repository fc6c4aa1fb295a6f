"""What the tests write without a run."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from rnp_cli.export.model import Prepared
from rnp_cli.export.safetensors import safetensors_bytes


def weights_only(tensors: Mapping[str, Tensor]) -> Prepared:
    """What safetensors is written from."""

    def content(metadata: Mapping[str, str]) -> bytes:
        return safetensors_bytes(tensors, {"format": "pt", **metadata})

    return Prepared("safetensors", tensors, content)
