"""Every format, written by the library it belongs to, comes back bit by bit."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benign import bare, odd_views, one_of_each_dtype, small_net
from crafting import zipped
from safetensors.torch import load_file, save_file
from test_read import assert_same, saved
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils import weight_norm as old_weight_norm

from rnp_cli.checkpoints import Checkpoint, fold_shapes, read_checkpoint
from rnp_cli.errors import InputRefused


def lightning(prefix: str) -> dict[str, Any]:
    """The layout of ``Trainer.save_checkpoint``."""
    return {
        "epoch": 3,
        "global_step": 40,
        "pytorch-lightning_version": "2.5.1",
        "state_dict": {prefix + name: tensor for name, tensor in bare().items()},
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best": torch.tensor(0.5)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(9)}}}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1},
    }


@pytest.mark.parametrize("prefix", ["model.", "net.", "model._orig_mod.", "encoder."])
def test_lightning_checkpoints(prefix: str, tmp_path: Path) -> None:
    checkpoint = saved(lightning(prefix), tmp_path / "last.ckpt")

    expected = prefix if prefix != "encoder." else ""
    assert checkpoint.prefix == expected
    stays = prefix.removeprefix(expected)
    assert_same(checkpoint.state_dict, {stays + name: t for name, t in bare().items()})
    assert checkpoint.wrapper == "state_dict"
    assert "hyper_parameters" in checkpoint.dropped
    assert checkpoint.findings == ("written by PyTorch Lightning 2.5.1",)


def test_the_names_of_other_files_keep_their_first_part(tmp_path: Path) -> None:
    weights = {f"model.{name}": tensor for name, tensor in bare().items()}

    assert_same(saved(weights, tmp_path / "model.pt").state_dict, weights)


def test_backdoorbench_results(tmp_path: Path) -> None:
    images = {f"images/{i}.png": torch.zeros(3, 4, 4) for i in range(99)}
    result = {
        "model_name": "preactresnet18",
        "num_classes": 10,
        "model": bare(),
        "data_path": "../data",
        "img_size": (32, 32, 3),
        "clean_data": "cifar10",
        "bd_train": {"images": images, "poison_index": np.arange(5)},
    }

    checkpoint = saved(result, tmp_path / "attack_result.pt")

    assert_same(checkpoint.state_dict, bare())
    assert checkpoint.wrapper == "model"
    assert checkpoint.findings == (
        "BackdoorBench says: model_name preactresnet18, num_classes 10, "
        "img_size 32x32x3",
    )


def exported(net: nn.Module, path: Path) -> Checkpoint:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(net, (torch.rand(1, 1, 4, 4),))
        torch.export.save(program, path)
    return read_checkpoint(path)


def in_any_order(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(sorted(weights.items()))


def test_exported_programs(tmp_path: Path) -> None:
    net = small_net().eval()
    last = net.get_submodule("4")
    with torch.no_grad():
        weight = torch.arange(48.0).reshape(16, 3).t()
        last.register_parameter("weight", nn.Parameter(weight))
    net.register_buffer("scratch", torch.ones(2), persistent=False)
    for name, values in one_of_each_dtype().items():
        net.register_buffer(name, values)

    checkpoint = exported(net, tmp_path / "model.pt2")

    assert_same(in_any_order(checkpoint.state_dict), in_any_order(net.state_dict()))
    assert checkpoint.format == "torch.export"
    assert "graph" in checkpoint.findings[0]


def test_an_expression_in_an_exported_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    exported(small_net().eval(), path)
    marker = tmp_path / "marker"
    payload = f'{{"as_expr": {{"expr_str": "open({str(marker)!r})"}}}}'
    content = rezipped(path, b'{"as_int": 4}', payload.encode())
    path.write_bytes(content)

    with pytest.raises(InputRefused, match="negative or absurd size"):
        read_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b'"use_pickle": false', b'"use_pickle": true', "is a pickle"),
        (b'"layout": 7', b'"layout": 1', "no dense tensor"),
        (b'"dtype": 7', b'"dtype": 99', "unknown element type"),
        (b'"weight_0"', b'"../weight"', "is missing"),
        (b'{"as_int": 4}', b'{"as_int": 4000}', "beyond the end"),
        (b'{"config": ', b"[", "malformed"),
        (b"little", b"bigend", "big-endian"),
    ],
)
def test_a_changed_table_of_weights_is_refused(
    old: bytes, new: bytes, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt2"
    exported(small_net().eval(), path)
    path.write_bytes(rezipped(path, old, new))

    with pytest.raises(InputRefused, match=says) as refusal:
        read_checkpoint(path)
    assert refusal.value.hint


def rezipped(path: Path, old: bytes, new: bytes) -> bytes:
    """Write an archive again with other text in its small members."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return zipped(
        {
            name: content.replace(old, new)
            if name.endswith(("weights_config.json", "byteorder"))
            else content
            for name, content in members.items()
        }
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_numpy_arrays(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    weights = {
        name: tensor
        for name, tensor in {**odd_views(), **one_of_each_dtype()}.items()
        if tensor.dtype not in (torch.bfloat16, torch.float8_e4m3fn)
    }
    arrays = {name: tensor.numpy() for name, tensor in weights.items()}
    arrays["fortran"] = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    path.write_bytes(pickle.dumps({"epoch": 3, "weights": arrays}, protocol))

    checkpoint = read_checkpoint(path)

    expected = weights | {"fortran": torch.arange(6.0).double().reshape(2, 3)}
    assert_same(checkpoint.state_dict, expected)
    assert checkpoint.format == "pickle of NumPy arrays"
    assert (checkpoint.wrapper, checkpoint.dropped) == ("weights", ("epoch",))
    assert checkpoint.findings == ()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"w": np.arange(3, dtype=">f4")}, "element type that is not supported"),
        ({"w": np.array(["text"])}, "plain pickle"),
        ({"w": np.array([None])}, "plain pickle"),
        ([np.ones(3)], "plain pickle"),
        ({"w": 1.0}, "plain pickle"),
        ({"w": np.array([np.nan])}, "NaN"),
    ],
)
def test_other_pickles_are_refused(content: object, says: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(content))

    with pytest.raises(InputRefused, match=says):
        read_checkpoint(path)


def test_nothing_may_follow_a_plain_pickle(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"w": np.ones(3)}) + b"more")

    with pytest.raises(InputRefused, match="follows the end"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("axis", "is_parametrized"),
    [(0, True), (1, True), (0, False), (1, False), (None, False)],
)
def test_weight_norms_are_folded(
    axis: int | None, is_parametrized: bool, tmp_path: Path
) -> None:
    net = small_net().eval()
    for layer in ("0", "4"):
        if is_parametrized:
            parametrizations.weight_norm(net.get_submodule(layer), dim=axis or 0)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                old_weight_norm(net.get_submodule(layer), dim=axis)  # type: ignore[arg-type]
    net(torch.rand(1, 1, 4, 4))
    expected = {f"{name}.weight": net.get_submodule(name).weight for name in "04"}

    checkpoint = saved(net.state_dict(), tmp_path / "model.pt")

    assert set(checkpoint.state_dict) == set(bare())
    for name, weight in expected.items():
        assert torch.equal(checkpoint.state_dict[name], weight.detach())
    assert "folded 2 weight normalizations" in checkpoint.findings[-1]
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert fold_shapes(shapes) == {n: v.shape for n, v in checkpoint.state_dict.items()}


def test_two_pairs_for_one_weight_are_refused(tmp_path: Path) -> None:
    weights = {
        "a.weight_g": torch.ones(4, 1),
        "a.weight_v": torch.ones(4, 5),
        "a.parametrizations.weight.original0": torch.ones(4, 1),
        "a.parametrizations.weight.original1": torch.ones(4, 5),
    }

    with pytest.raises(InputRefused, match="Two pairs of tensors stand for"):
        saved(weights, tmp_path / "model.pt")


def test_a_weight_norm_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    weights = {"a.weight_g": torch.ones(3, 1), "a.weight_v": torch.ones(4, 5)}

    with pytest.raises(InputRefused, match="another shape"):
        saved(weights, tmp_path / "model.pt")


def test_a_weight_norm_of_zeros_is_refused(tmp_path: Path) -> None:
    weights = {"a.weight_g": torch.ones(4, 1), "a.weight_v": torch.zeros(4, 5)}

    with pytest.raises(InputRefused, match="once it is folded"):
        saved(weights, tmp_path / "model.pt")


def test_names_that_only_resemble_weight_norms_stay(tmp_path: Path) -> None:
    weights = {
        "conv_g": torch.ones(2),
        "tree_v": torch.ones(2),
        "original0": torch.ones(1),
    }

    assert_same(saved(weights, tmp_path / "model.pt").state_dict, weights)


@pytest.mark.parametrize(
    "view",
    [
        torch.arange(20.0)[:3].expand(4, 3),
        torch.arange(20.0)[:2, None].expand(2, 5),
        torch.arange(20.0)[7].expand(6),
        torch.arange(20.0)[:6].reshape(2, 3).t()[:, :1].expand(3, 4),
    ],
)
def test_views_that_repeat_less_than_is_stored_are_written_out(
    view: torch.Tensor, tmp_path: Path
) -> None:
    torch.save({"a.weight": view, "b": torch.ones(3)}, tmp_path / "model.pt")

    recovered = read_checkpoint(tmp_path / "model.pt").state_dict

    assert torch.equal(recovered["a.weight"], view)


@pytest.mark.parametrize("length", [0x0280, 0x0580, 0x5A4D, 0x8B1F])
def test_safetensors_headers_may_be_as_long_as_other_formats_begin(
    length: int, tmp_path: Path
) -> None:
    """Their first bytes are those of pickles, of a program, of a gzip file."""
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.arange(4.0)}, path)
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = data[8:end].ljust(length)
    path.write_bytes(length.to_bytes(8, "little") + header + data[end:])
    assert torch.equal(load_file(path)["w"], torch.arange(4.0))

    assert_same(read_checkpoint(path).state_dict, {"w": torch.arange(4.0)})
