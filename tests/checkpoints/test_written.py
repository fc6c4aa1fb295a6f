from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from rnp_cli.checkpoints import read_written_model
from rnp_cli.errors import InputRefused, UsageError
from rnp_cli.export.safetensors import safetensors_bytes, tensors_sha256

TENSORS = {
    "half": torch.randn(5).half(),
    "brain": torch.randn(5, 1).bfloat16(),
    "b": torch.randn(2).double(),
    "ä": torch.randn(3, 2),
    "count": torch.tensor(2**40 + 1),
    "flags": torch.tensor([True, False, True]),
    "empty": torch.zeros(0, 4),
}
METADATA = {"rnp_report": "ä.json", "a": "1"}


def test_the_digest_of_the_tensors_is_the_writers(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes(TENSORS, METADATA))

    written = read_written_model(path)

    assert written.tensors_sha256 == tensors_sha256(TENSORS)
    assert written.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert written.metadata == METADATA


def test_a_changed_value_is_seen_and_changed_metadata_is_not(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes(TENSORS, {}))
    assert read_written_model(path).tensors_sha256 == tensors_sha256(TENSORS)

    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(blob)

    assert read_written_model(path).tensors_sha256 != tensors_sha256(TENSORS)


def test_other_formats_are_refused(digits: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")

    for path in (digits.model, tmp_path / "broken.safetensors", tmp_path):
        with pytest.raises(InputRefused, match="is refused") as refusal:
            read_written_model(path)
        assert refusal.value.hint
    with pytest.raises(UsageError, match=r"There is no file .*missing\.onnx"):
        read_written_model(tmp_path / "missing.onnx")
