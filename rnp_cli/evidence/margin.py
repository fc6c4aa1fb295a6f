"""Maximum margins: how far any input at all leads a class before all others.

A backdoor overfits to a few features, whatever its trigger looks like: some input,
which need not look like an image, brings its class farther ahead than other classes
ever are (MM-BD, Wang, Xiang, Miller and Kesidis, S&P 2024). The search for it asks no
clean sample; they only give the unit, so few of them do.

Departures: a margin is measured in standard deviations of its class's logit over the
clean samples, since classes differ in how far their logits reach at all, and so that
classes stand out that a backdoor has starved of features of their own. And the
logarithms are compared as those of triggers are, where the paper fits a gamma
distribution to the margins themselves (``benchmarks/margins.py`` holds both against
known models).

A backdoor that leads to every class, or from one class only, need not show here.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore

STAGE = "margin"
_LEAST_RATE = 0.04  # of the learning rate, at the end
_LEAST_SPREAD = 0.1  # of a logit, beside the median; less has nothing to measure in


class MarginConfig(BaseModel):
    """Knobs of the search for maximum margins."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(80, ge=1)
    starts: int = Field(4, ge=0)
    """Random inputs that the search begins with, for each class; the best counts. With
    0 margins are not asked about."""
    learning_rate: float = Field(0.05, gt=0)
    """Learning rate of Adam at the start, in shares of a pixel's range; it falls to a
    twenty-fifth."""
    pixels_at_once: int = Field(2**20, ge=1)
    """Pixels of all inputs that one step holds; where the classes need more, they are
    searched in turns. Less takes less memory."""


@dataclass(frozen=True)
class Margins:
    """The maximum margin of some classes, in the spread of each one's logit.

    targets: the classes. values: theirs, finite; not above zero where no input was
    found that reaches the class, or its logit hardly varies, as an unused output's.
    """

    targets: tuple[int, ...]
    values: tuple[float, ...]

    def with_newest(self, newest: Margins) -> Margins:
        """Return these, those of some classes replaced."""
        known = dict(zip(newest.targets, newest.values, strict=True))
        both = zip(self.targets, self.values, strict=True)
        return Margins(self.targets, tuple(known.get(t, value) for t, value in both))


def maximum_margins(
    model: nn.Module,
    samples: Samples,
    config: MarginConfig,
    classes: Sequence[int],
    *,
    seed: int,
    listen: Listener = ignore,
) -> Margins:
    """Search the inputs in [0, 1] that lead each class farthest before all others.

    model: images (batch, channel, height, width) in [0, 1] to logits. It is left as it
    is. samples: all clean samples, which logits are measured on.
    """
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    spreads = logits_of(frozen, samples.images).std(0)
    is_measured = spreads > _LEAST_SPREAD * spreads.median()
    spreads = torch.where(is_measured, spreads, torch.inf)  # nothing, in such a unit
    channels, height, width = samples.images.shape[1:]
    shape = (config.starts, channels, height, width)
    most = max(1, config.pixels_at_once // (config.starts * height * width))
    parts = [classes[i : i + most] for i in range(0, len(classes), most)]
    generator = torch.Generator().manual_seed(seed)
    listen(StageStarted(stage=STAGE, total=config.steps * len(parts)))
    margins: list[float] = []
    for number, part in enumerate(parts):
        starts = torch.rand(len(part), *shape, generator=generator)
        goals = torch.tensor(part, device=spreads.device)
        best = torch.full((len(part), config.starts), -torch.inf, device=goals.device)
        inputs = starts.to(goals.device).requires_grad_()
        optimizer = torch.optim.Adam([inputs], lr=config.learning_rate)
        for step in range(config.steps):
            done = step / config.steps
            rate = config.learning_rate * (1 - (1 - _LEAST_RATE) * done)
            optimizer.param_groups[0]["lr"] = rate
            ahead = _margins(frozen, inputs, goals)
            counts = ahead.detach()
            counts = torch.where(counts.isfinite(), counts, -torch.inf)
            best = torch.maximum(best, counts)
            optimizer.zero_grad()
            (-ahead.sum()).backward()
            optimizer.step()
            with torch.no_grad():
                inputs.clamp_(0, 1)
            listen(StepDone(stage=STAGE, step=number * config.steps + step + 1))
        widest = best.amax(1) / spreads[goals]
        margins += torch.where(widest.isfinite(), widest, 0.0).tolist()
    largest = max(range(len(classes)), key=lambda place: margins[place])
    summary = f"{margins[largest]:.1f} spreads of its logit for class "
    summary += f"{classes[largest]}{', the most' if len(classes) > 1 else ''}"
    listen(StageDone(stage=STAGE, summary=summary))
    return Margins(tuple(classes), tuple(margins))


def _margins(model: nn.Module, inputs: Tensor, goals: Tensor) -> Tensor:
    """Return by how much each input (class, start, ...) leads its class: both."""
    logits: Tensor = model(inputs.flatten(0, 1)).reshape(*inputs.shape[:2], -1)
    of_goal = goals.view(-1, 1, 1).expand(-1, inputs.shape[1], 1)
    others = logits.scatter(2, of_goal, -torch.inf).amax(2)
    return logits.gather(2, of_goal)[:, :, 0] - others
