"""Sound but unusual checkpoints that a reader should get the weights out of."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn


def net() -> nn.Module:
    """Return a small network with fixed weights."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    )


def weights() -> dict[str, Tensor]:
    """Return what must come back of each file."""
    return net().state_dict()


def _legacy(path: Path) -> None:
    torch.save(weights(), path, _use_new_zipfile_serialization=False)


def _script(path: Path) -> None:
    torch.jit.script(net()).save(str(path))


def _namespace(path: Path) -> None:
    args = argparse.Namespace(lr=0.1, name="run")
    torch.save({"state_dict": weights(), "args": args}, path)


def _parallel(path: Path) -> None:
    torch.save(nn.DataParallel(net()).state_dict(), path)


def _trained(path: Path) -> None:
    module = net()
    optimizer = torch.optim.Adam(module.parameters())
    saved = {"model": module.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(saved, path)


CONTROLS: dict[str, Callable[[Path], None]] = {
    "zip": lambda path: torch.save(weights(), path),
    "legacy": _legacy,
    "whole module": lambda path: torch.save(net(), path),
    "TorchScript": _script,
    "argparse.Namespace beside": _namespace,
    "optimizer beside": _trained,
    "DataParallel names": _parallel,
}
