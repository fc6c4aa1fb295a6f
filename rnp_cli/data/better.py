"""Whether a known input convention fits clearly better than the one that was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from rnp_cli.data.search import find_input_spec
from rnp_cli.data.shapes import InputShape

_SOME = 256  # samples to try it on; no more are decoded for it
_CLEARLY, _MORE_THAN_A_FEW = 0.05, 3  # share and count of them


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
    predicted: Tensor,
    *,
    seed: int,
    device: torch.device,
) -> BetterInput | None:
    """Try what the field does, as if no convention were given, on some samples.

    predicted: (count,) int64, under the one that is. Whoever gives one has it that way:
    the answer is for telling, and decides nothing.
    """
    order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(seed))
    some = order[:_SOME]
    found = find_input_spec(
        networks,
        [paths[index] for index in some.tolist()],
        labels[some],
        shapes,
        None,
        seed=seed,
        device=device,
    )
    accuracy = (predicted == labels)[some].double().mean().item()
    gained = found.score - accuracy
    if gained < max(_CLEARLY, _MORE_THAN_A_FEW / len(some)):
        return None
    return BetterInput(found.spec.convention.name, found.score)
