"""Sound checkpoints of every shape that torch writes, made by torch itself."""

from __future__ import annotations

import argparse
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

StateDict = dict[str, Tensor]


def small_net() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    )


def bare() -> StateDict:
    return small_net().state_dict()


def one_of_each_dtype() -> StateDict:
    values = torch.arange(12).reshape(3, 4)
    dtypes = [
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.complex64,
        torch.complex128,
        torch.uint16,
        torch.float8_e4m3fn,
    ]
    return {str(dtype).replace(".", "_"): values.to(dtype) for dtype in dtypes}


def odd_views() -> StateDict:
    base = torch.arange(24.0).reshape(4, 6)
    return {
        "transposed": base.t(),
        "middle": base[1:3, 2:5],
        "scalar": base[2, 3],
        "every_other": base[::2, ::3],
        "empty": base[:0],
        "tied": base,
        "tied_again": base,
        "one_by_n": torch.arange(5.0).expand(1, 5),
    }


def trained() -> dict[object, Any]:
    """What a training script leaves: an optimizer and odd objects beside the net."""
    net = small_net()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.rand(2, 1, 4, 4)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    return {
        "epoch": 7,
        "args": argparse.Namespace(lr=0.1, name="run", sizes=[1, 2]),
        "best": np.float64(0.93),
        "history": np.arange(4.0),
        "seen": {1, 2},
        ("a", 1): defaultdict(int, x=1),
        "device": torch.device("cpu"),
        "shape": torch.Size([1, 2]),
        "dtype": torch.float16,
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "state_dict": net.state_dict(),
    }


@dataclass(frozen=True)
class Benign:
    """An object for torch.save, and what must come back of it."""

    name: str
    make: Callable[[], Any]
    weights: Callable[[Any], StateDict]
    wrapper: str = ""
    prefix: str = ""
    dropped: tuple[str, ...] = ()


def _wrapped(key: str) -> Benign:
    return Benign(key, lambda: {key: bare()}, lambda saved: saved[key], wrapper=key)


def _prefixed(prefix: str) -> Benign:
    return Benign(
        f"prefix {prefix}",
        lambda: {prefix + name: t for name, t in bare().items()},
        lambda saved: bare(),
        prefix=prefix,
    )


BENIGN = (
    Benign("bare", bare, dict),
    Benign("dtypes", one_of_each_dtype, dict),
    Benign("views", odd_views, dict),
    Benign("parameters", lambda: dict(small_net().named_parameters()), dict),
    Benign(
        "OrderedDict of pairs",
        lambda: OrderedDict([("b", torch.ones(2)), ("a", torch.zeros(1))]),
        dict,
    ),
    Benign("whole module", small_net, lambda module: module.state_dict()),
    Benign(
        "whole data-parallel module",
        lambda: {"net": nn.DataParallel(small_net())},
        lambda saved: saved["net"].module.state_dict(),
        wrapper="net",
        prefix="module.",
    ),
    Benign(
        "trained",
        trained,
        lambda saved: saved["state_dict"],
        wrapper="state_dict",
        dropped=(
            "epoch",
            "args",
            "best",
            "history",
            "seen",
            "device",
            "shape",
            "dtype",
            "optimizer",
            "scheduler",
        ),
    ),
    Benign(
        "twice wrapped",
        lambda: {"run": {"model": bare(), "acc": 0.5}},
        lambda saved: saved["run"]["model"],
        wrapper="run.model",
        dropped=("run.acc",),
    ),
    Benign(
        "numbers among the weights",
        lambda: {"steps": 3, **bare()},
        lambda saved: bare(),
        dropped=("steps",),
    ),
    *map(_wrapped, ("state_dict", "net", "model", "model_state_dict", "params")),
    *map(_prefixed, ("module.", "_orig_mod.", "_orig_mod.module.")),
)
