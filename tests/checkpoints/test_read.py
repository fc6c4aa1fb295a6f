from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from benign import BENIGN, Benign, StateDict, bare, small_net
from crafting import WEIGHTS, beside_weights, call, pickled, text, torch_zip, zipped
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from rnp_cli.checkpoints import Checkpoint, LoadLimits, read_checkpoint
from rnp_cli.errors import InputRefused, UsageError


def assert_same(found: StateDict, expected: StateDict) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert found[name].is_contiguous()
        same = found[name].view(torch.uint8) if tensor.dim() else found[name]
        wanted = tensor.detach().contiguous()
        assert torch.equal(same, wanted.view(torch.uint8) if tensor.dim() else wanted)


def saved(content: object, path: Path, **how: Any) -> Checkpoint:
    torch.save(content, path, **how)
    return read_checkpoint(path)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("case", BENIGN, ids=lambda case: case.name)
def test_what_torch_saves_comes_back(
    case: Benign, protocol: int, is_zip: bool, tmp_path: Path
) -> None:
    content = case.make()
    path = tmp_path / "model.pt"

    checkpoint = saved(
        content,
        path,
        _use_new_zipfile_serialization=is_zip,
        pickle_protocol=protocol,
    )

    assert_same(checkpoint.state_dict, case.weights(content))
    assert checkpoint.wrapper == case.wrapper
    assert checkpoint.prefix == case.prefix
    assert checkpoint.dropped == case.dropped
    assert checkpoint.findings == ()
    assert checkpoint.format == ("PyTorch zip" if is_zip else "PyTorch legacy pickle")
    assert checkpoint.size == path.stat().st_size
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_tensors_share_no_memory(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    tied = {"a": base, "b": base, "c": base[2:]}

    found = saved(tied, tmp_path / "model.pt").state_dict
    found["a"].zero_()

    assert torch.equal(found["b"], base)
    assert torch.equal(found["c"], base[2:])


def test_safetensors_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    weights = {**bare(), "half": torch.ones(3).half(), "scalar": torch.tensor(2.0)}
    save_file(weights, path, metadata={"made_by": "a test"})

    checkpoint = read_checkpoint(path)

    assert_same(
        dict(sorted(checkpoint.state_dict.items())), dict(sorted(weights.items()))
    )
    assert checkpoint.format == "safetensors"
    assert checkpoint.findings == ()


def test_a_suffix_that_disagrees_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_file(bare(), path)

    assert "safetensors" in read_checkpoint(path).findings[0]


def test_torchscript_weights_are_recovered(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    net = small_net().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(net, torch.rand(1, 1, 4, 4)).save(str(path))

    checkpoint = read_checkpoint(path)

    assert checkpoint.format == "TorchScript"
    assert_same(checkpoint.state_dict, net.state_dict())


def test_non_persistent_buffers_stay_out(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    net.register_buffer("scratch", torch.ones(2), persistent=False)

    assert list(saved(net, tmp_path / "m.pt").state_dict) == ["weight", "bias"]


def test_pruning_masks_are_folded(tmp_path: Path) -> None:
    net = small_net()
    first = net.get_submodule("0")
    prune.l1_unstructured(first, "weight", amount=0.5)
    expected = first.get_buffer("weight_mask") * first.get_parameter("weight_orig")

    checkpoint = saved(net.state_dict(), tmp_path / "model.pt")

    assert list(checkpoint.state_dict)[:2] == ["0.bias", "0.weight"]
    assert torch.equal(checkpoint.state_dict["0.weight"], expected)
    assert "1 pruning mask" in checkpoint.findings[0]


def test_unknown_classes_are_named_and_never_imported(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(beside_weights(call("no_such_package.things", "Thing", text("x"))))

    checkpoint = read_checkpoint(path)

    assert list(checkpoint.state_dict) == ["fc.weight"]
    assert "no_such_package.things.Thing" in checkpoint.findings[0]
    assert "no_such_package" not in sys.modules


def test_equally_large_mappings_are_a_finding(tmp_path: Path) -> None:
    checkpoint = saved({"net": bare(), "ema": bare()}, tmp_path / "model.pt")

    assert checkpoint.wrapper == "net"
    assert "ema" in checkpoint.findings[0]


def test_big_endian_storages_are_turned(tmp_path: Path) -> None:
    values = torch.tensor([1.0, -2.5, 3e9, 0.1])
    weights = {
        "archive/data.pkl": pickled(WEIGHTS),
        "archive/byteorder": b"big",
        "archive/data/0": struct.pack(">4f", *values.tolist()),
    }
    path = tmp_path / "model.pt"
    path.write_bytes(zipped(weights))

    assert torch.equal(read_checkpoint(path).state_dict["fc.weight"], values)


def test_deflated_archives_are_read(tmp_path: Path) -> None:
    members = {"archive/data.pkl": pickled(WEIGHTS), "archive/data/0": bytes(16)}
    path = tmp_path / "model.pt"
    path.write_bytes(zipped(members, zipfile.ZIP_DEFLATED))

    found = read_checkpoint(path).state_dict["fc.weight"]

    assert torch.equal(found, torch.zeros(4))


def test_special_tensors_are_refused_and_not_lost(tmp_path: Path) -> None:
    weights = {"dense": torch.ones(2), "sparse": torch.eye(3).to_sparse()}

    with pytest.raises(InputRefused, match="sparse"):
        saved(weights, tmp_path / "model.pt")


def test_archives_with_64_bit_records_are_read(tmp_path: Path) -> None:
    narrow = torch_zip(WEIGHTS)
    _, _, _, _, count, size, start, _ = struct.unpack("<4s4H2LH", narrow[-22:])
    sizes = (44, 45, 45, 0, 0, count, count, size, start)
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", *sizes)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(narrow) - 22, 1)
    full = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, *full)
    path = tmp_path / "model.pt"
    path.write_bytes(narrow[:-22] + wide + locator + end)

    assert list(read_checkpoint(path).state_dict) == ["fc.weight"]


def test_a_file_without_weights_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"It holds: epoch, \\x1b\[2Jred\."):
        saved({"epoch": 3, "\x1b[2Jred": None}, tmp_path / "model.pt")


@pytest.mark.parametrize(
    "limits",
    [
        {"max_file_bytes": 100},
        {"max_opcodes": 10},
        {"max_memo": 3},
        {"max_stack": 3},
        {"max_nesting": 2},
        {"max_string": 3},
        {"max_members": 2},
        {"max_tensors": 2},
        {"max_name_length": 2},
        {"max_rank": 1},
        {"max_tensor_bytes": 100},
    ],
    ids=lambda limits: next(iter(limits)),
)
def test_each_limit_holds(limits: dict[str, int], tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(bare(), path)

    assert read_checkpoint(path).state_dict
    with pytest.raises(InputRefused):
        read_checkpoint(path, LoadLimits(**limits))


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / ("deep" * 30) / "nowhere.pt"

    with pytest.raises(UsageError, match=r"There is no file .*nowhere\.pt\."):
        read_checkpoint(path)


def test_headers_are_read_without_torch() -> None:
    check = (
        "import sys, rnp_cli.checkpoints.header, rnp_cli.checkpoints.normalize;"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_the_smallest_file_by_hand_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(torch_zip(WEIGHTS))

    assert read_checkpoint(path).findings == ()
