from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from benign import bare, one_of_each_dtype, trained
from corpus import HOSTILE, Hostile
from crafting import GOOD_ZIP, beside_weights, call, text
from safetensors.torch import save_file

from rnp_cli.checkpoints import scan_file
from rnp_cli.checkpoints.pickle_globals import Severity
from rnp_cli.errors import UsageError

BROKEN = {"NaN", "Inf"}


def test_a_sound_file_is_described(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(trained(), path)

    scan = scan_file(path)

    assert (scan.file, scan.size) == ("model.pt", path.stat().st_size)
    assert scan.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (scan.format, scan.suffix_agrees) == ("PyTorch zip", True)
    assert (scan.wrapper, scan.prefix) == ("state_dict", "")
    assert "optimizer" in scan.dropped
    assert [(t.name, t.shape) for t in scan.tensors] == [
        (name, tuple(tensor.shape)) for name, tensor in bare().items()
    ]
    assert scan.parameters == sum(tensor.numel() for tensor in bare().values())
    assert {named.severity for named in scan.globals} == {Severity.HARMLESS}
    assert "collections.OrderedDict" in {named.name for named in scan.globals}
    assert scan.refusal is None


def test_a_gadget_is_reported_with_everything_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    gadget = call("os", "system", text("x")) + b"0" + call("some.code", "Thing")
    path.write_bytes(beside_weights(gadget))

    scan = scan_file(path)

    assert [(named.name, named.severity.value) for named in scan.globals[:2]] == [
        ("os.system", "gadget"),
        ("some.code.Thing", "unknown"),
    ]
    assert scan.refusal is not None
    assert "os.system" in scan.refusal.message
    assert "attack" in scan.refusal.hint
    assert [tensor.name for tensor in scan.tensors] == ["fc.weight"]


@pytest.mark.parametrize("case", HOSTILE[::4], ids=lambda case: case.name)
def test_hostile_files_are_described_and_never_raised(
    case: Hostile, tmp_path: Path
) -> None:
    path = tmp_path / f"model{case.suffix}"
    path.write_bytes(case.build(tmp_path / "marker"))

    scan = scan_file(path)

    assert scan.refusal is not None
    assert case.says in scan.refusal.message
    assert scan.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not (tmp_path / "marker").exists()


def test_values_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    values = torch.tensor([1.0, nan, -nan, inf, -inf, inf, 0.0, -2.0, 3e38, 1e-40])
    kinds = {
        name: values.to(tensor.dtype)
        for name, tensor in one_of_each_dtype().items()
        if tensor.is_floating_point()
    }
    kinds["torch_float32_view"] = torch.stack([values, values]).t()
    path = tmp_path / "model.pt"
    torch.save({**kinds, "counts": torch.arange(3)}, path)

    scan = scan_file(path)

    for tensor in scan.tensors[:-1]:
        made = kinds[tensor.name].float()
        assert tensor.nan == int(made.isnan().sum())
        assert tensor.inf == int(made.isinf().sum())
    assert (scan.tensors[-1].nan, scan.tensors[-1].inf) == (0, 0)
    assert scan.refusal is not None
    assert "NaN" in scan.refusal.message


@pytest.mark.parametrize(
    ("name", "agrees"),
    [
        ("model.pt", False),
        ("model.safetensors", True),
        ("model.SAFETENSORS", True),
        ("model.onnx", False),
        ("model", True),
        ("model.whatever", True),
    ],
)
def test_the_suffix_is_compared_with_the_content(
    name: str, agrees: bool, tmp_path: Path
) -> None:
    save_file(bare(), tmp_path / name)

    scan = scan_file(tmp_path / name)

    assert scan.suffix_agrees is agrees
    assert bool(scan.findings) is not agrees


def test_what_is_no_file_is_described_too(tmp_path: Path) -> None:
    scan = scan_file(tmp_path)

    assert scan.refusal is not None
    assert "directory" in scan.refusal.message


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        scan_file(tmp_path / "nowhere.pt")


def test_scanning_needs_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(GOOD_ZIP)
    check = (
        "import sys; from pathlib import Path; from rnp_cli.checkpoints import *;"
        "assert scan_file(Path(sys.argv[1])).tensors;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy')))"
    ).replace("import *", "import scan_file")

    command = [sys.executable, "-c", check, str(path)]
    assert subprocess.run(command, check=False).returncode == 0
