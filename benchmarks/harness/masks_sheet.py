"""A sheet of masks: the true one, and what was recovered, a row for each model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.patch import SHOWN, overlap, true_mask
from harness.recovery import Recovery
from rnp_cli.export.pictures import png
from rnp_cli.export.sheet import Row, Tile, sheet

SIDE = 112  # of every picture, whatever images the models take


def draw_masks(recoveries: Sequence[Recovery], file: Path) -> None:
    """Draw a row for each model: a stamped image, the true mask, those recovered."""
    by_model: dict[str, list[Recovery]] = {}
    for recovery in recoveries:
        by_model.setdefault(recovery.subject.name, []).append(recovery)
    rows = [_row(name, of_model) for name, of_model in by_model.items()]
    file.write_bytes(png(sheet(rows)))


def _row(name: str, recoveries: Sequence[Recovery]) -> Row:
    subject = recoveries[0].subject
    triggered, true = subject.triggered_images(), true_mask(subject)
    assert triggered is not None
    tiles = [
        Tile(_enlarged(triggered.images[0]), "stamped"),
        Tile(_enlarged(true[None].float()), f"true, {int(true.sum())} px"),
    ]
    for recovery in recoveries:
        mask = recovery.mask()
        if mask is None:
            tiles.append(Tile(None, f"{recovery.on}: none"))
            continue
        share = overlap(mask >= SHOWN, true)
        shown = mask.to(torch.float32)[None]
        tiles.append(Tile(_enlarged(shown), f"{recovery.on} {share:.2f}"))
    return Row(f"{name}, {subject.attack}", tiles)


def _enlarged(pixels: Tensor) -> Tensor:
    """Enlarge (channel, height, width) to the sheet's size."""
    return F.interpolate(pixels[None], size=(SIDE, SIDE), mode="nearest")[0]
