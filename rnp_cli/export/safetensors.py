"""Safetensors bytes of a state_dict, the same for the same tensors and metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from safetensors.torch import load, save
from torch import Tensor

_LENGTH = 8  # bytes that hold the length of the header, little-endian


def safetensors_bytes(
    state_dict: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> bytes:
    """Serialize; metadata keys are sorted, which the library leaves to chance.

    Raises RuntimeError when what was written does not read back bit-equal.
    """
    tensors = _copied(state_dict)
    blob = _serialized(tensors, metadata)
    _verify(blob, tensors)
    return blob


def tensors_sha256(state_dict: Mapping[str, Tensor]) -> str:
    """Digest of names, shapes, dtypes and values, whatever the metadata says."""
    return hashlib.sha256(_serialized(_copied(state_dict), {})).hexdigest()


def _copied(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy each tensor, because the library refuses those that share memory."""
    return {
        name: t.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, t in state_dict.items()
    }


def _serialized(tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    blob = save(tensors)
    end = _LENGTH + int.from_bytes(blob[:_LENGTH], "little")
    header = json.loads(blob[_LENGTH:end])
    header = {"__metadata__": dict(sorted(metadata.items())), **header}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    return len(text).to_bytes(_LENGTH, "little") + text + blob[end:]


def _verify(blob: bytes, tensors: Mapping[str, Tensor]) -> None:
    back = load(blob)
    same = back.keys() == tensors.keys() and all(
        back[name].dtype == t.dtype
        and back[name].shape == t.shape
        and torch.equal(_bits(back[name]), _bits(t))
        for name, t in tensors.items()
    )
    if not same:
        raise RuntimeError("the written safetensors file differs from the model")


def _bits(tensor: Tensor) -> Tensor:
    """View as bytes, so that NaN equals itself and -0.0 differs from 0.0."""
    return tensor.reshape(-1).view(torch.uint8)
