"""Whether a written file answers as the sanitized network does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from rnp_cli.errors import RnpError

_BATCH = 256
_TOLERANCE = 1e-4  # times the largest output, or one where all are smaller

Answer = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Trial:
    """The sanitized network, and clean images to hold others against it.

    network: on the CPU, in eval mode. images: (count, channel, height, width) in
    [0, 1], on the CPU. feed: turns some of them into what the network takes.
    """

    network: nn.Module
    images: Tensor
    feed: Answer

    @property
    def example(self) -> Tensor:
        """An empty image as the network takes it: (1, channel, height, width)."""
        return torch.zeros_like(self.feed(self.images[:1]))

    @cached_property
    def answers(self) -> Tensor:
        """What the network says: (count, class)."""
        return self._ask(self.network)

    def check(self, answer: Answer, what: str) -> None:
        """Ask ``what`` the same; raise RnpError where it answers otherwise.

        Each image must get the same class, and no output may differ by more than 1e-4,
        or by more than 1e-4 of the largest output where that is above one.
        """
        given = self._ask(answer)
        allowed = _TOLERANCE * max(1.0, self.answers.abs().max().item())
        differs = (given - self.answers).abs().max().item()
        others = int((given.argmax(1) != self.answers.argmax(1)).sum())
        if others or not differs <= allowed:  # which NaN is not
            raise RnpError(
                f"{what} does not answer as the sanitized model does: {others} of "
                f"{len(given)} clean images get another class, and outputs differ by "
                f"up to {differs:.2g}, where {allowed:.2g} is allowed.",
                hint="Nothing was written. Ask for .safetensors, the weights alone.",
            )

    def _ask(self, answer: Answer) -> Tensor:
        """Ask for one image alone first: any number must be possible."""
        batches = [self.images[:1], *self.images[1:].split(_BATCH)]
        with torch.no_grad():
            return torch.cat([answer(self.feed(batch)) for batch in batches])
