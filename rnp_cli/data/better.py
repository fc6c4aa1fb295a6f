"""Whether a known input convention fits clearly better than the one that was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rnp_cli.data.search import find_input_spec
from rnp_cli.data.shapes import InputShape

_CLEARLY = 0.05  # of the samples


@dataclass(frozen=True)
class BetterInput:
    """A convention, by its name, and the clean accuracy that it gives."""

    convention: str
    accuracy: float


def better_input(
    networks: Sequence[nn.Module],
    paths: Sequence[Path],
    labels: Tensor,
    shapes: Sequence[Sequence[InputShape]],
    accuracy: float,
    *,
    seed: int,
    device: torch.device,
) -> BetterInput | None:
    """Try what the field does, as if no convention were given.

    accuracy: under the one that is. Whoever gives one has it that way: the answer is
    for telling, and decides nothing.
    """
    found = find_input_spec(
        networks, paths, labels, shapes, None, seed=seed, device=device
    )
    if found.score < accuracy + _CLEARLY:
        return None
    return BetterInput(found.spec.convention.name, found.score)
