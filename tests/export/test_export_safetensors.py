from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from torch import Tensor

from rnp_cli.checkpoints import read_checkpoint
from rnp_cli.checkpoints.header import read_safetensors_metadata
from rnp_cli.export.safetensors import safetensors_bytes, tensors_sha256

METADATA = {"b": "2", "format": "pt", "a": "1", "rnp_report": "x.json", "ä": '"\\'}


def bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


@pytest.fixture
def state_dict() -> dict[str, Tensor]:
    torch.manual_seed(0)
    tied = torch.randn(3, 2)
    return {
        "conv.weight": torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last),
        "half": torch.randn(5).half(),
        "brain": torch.randn(5, 1).bfloat16(),
        "double": torch.randn(2).double(),
        "count": torch.tensor(2**40 + 1),
        "flags": torch.tensor([True, False]),
        "empty": torch.zeros(0, 4),
        "extremes": torch.tensor([float("inf"), -0.0, 1e-45, float("nan")]),
        "tied": tied,
        "tied too": tied,
        "view": tied.t(),
        "leaf": torch.randn(2, requires_grad=True),
    }


def test_every_dtype_reads_back_bit_for_bit(state_dict: dict[str, Tensor]) -> None:
    back = load(safetensors_bytes(state_dict, METADATA))

    assert back.keys() == state_dict.keys()
    for name, tensor in state_dict.items():
        assert back[name].dtype == tensor.dtype
        assert back[name].shape == tensor.shape
        assert torch.equal(bits(back[name]), bits(tensor.detach()))


def test_our_own_reader_accepts_it(
    state_dict: dict[str, Tensor], tmp_path: Path
) -> None:
    del state_dict["extremes"]  # no network works with these
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes(state_dict, METADATA))

    assert set(read_checkpoint(path).state_dict) == set(state_dict)
    assert read_safetensors_metadata(path) == METADATA


def test_the_same_content_gives_the_same_bytes_in_whatever_order(
    state_dict: dict[str, Tensor],
) -> None:
    blob = safetensors_bytes(state_dict, METADATA)

    for _ in range(5):  # the library's own order of metadata changes between calls
        assert safetensors_bytes(state_dict, METADATA) == blob
    turned = dict(reversed(METADATA.items()))
    assert safetensors_bytes(dict(reversed(state_dict.items())), turned) == blob


def test_the_header_is_sorted_and_aligned(state_dict: dict[str, Tensor]) -> None:
    blob = safetensors_bytes(state_dict, METADATA)

    length = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + length])
    assert length % 8 == 0
    assert list(header["__metadata__"]) == sorted(METADATA)


def test_the_digest_sees_values_and_names_but_no_metadata_and_no_order() -> None:
    tensors = {"a": torch.ones(2), "b": torch.zeros(2)}
    digest = tensors_sha256(tensors)

    assert tensors_sha256({"b": torch.zeros(2), "a": torch.ones(2)}) == digest
    for other in (
        {"a": torch.ones(2), "b": torch.tensor([0.0, 1e-9])},
        {"a": torch.ones(2), "c": torch.zeros(2)},
        {"a": torch.ones(2), "b": torch.zeros(2, 1)},
        {"a": torch.ones(2), "b": torch.zeros(2).half()},
    ):
        assert tensors_sha256(other) != digest


def test_writing_changes_no_tensor(state_dict: dict[str, Tensor]) -> None:
    before = {name: bits(t.detach()).clone() for name, t in state_dict.items()}

    safetensors_bytes(state_dict, METADATA)

    assert all(
        torch.equal(bits(t.detach()), before[name]) for name, t in state_dict.items()
    )
