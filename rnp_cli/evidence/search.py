"""Search: triggers of one family on their way to being as small as works.

Each goal has a row of its own: a candidate, images to turn, and a weight on the size,
which grows while the candidate works and falls while it does not. It grows fast until
the candidate fails for the first time: what the size has to weigh against the answers
of a network is not known beforehand, and differs by orders of magnitude.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples
from rnp_cli.evidence.recovered import RecoveredTrigger, estimated_success, to_turn
from rnp_cli.evidence.triggers import FAMILIES, Change, Family

_FIRST_GROWTH, _GROWTH, _FALL = 1.6, 1.1, 1.15  # of the weight, in each step
_JUDGED = 144  # images that a running mean of success rests on, at most
_FEWEST_JUDGED = 48
_WEIGHTS = 1e-3, 1e3  # the least and the most of a size, beside the first


@dataclass(frozen=True, eq=False)
class Goal:
    """What to look for: a change of images that turns them to a class.

    target: the class; None is "any other class". near: what was found before, if the
    search is to stay around it; of the same family. source: the class whose images are
    to be turned; None is "all others".
    """

    target: int | None
    family: Family = "overlay"
    near: Change | None = None
    source: int | None = None


class Search:
    """The triggers of some goals of one family, optimised together, a row for each."""

    def __init__(
        self,
        model: nn.Module,
        samples: Samples,
        goals: Sequence[Goal],
        *,
        steps: int,
        images_each: int,
        success: float,
        generator: torch.Generator,
    ) -> None:
        """Begin with random candidates.

        images_each: that one step takes for each goal. success: share of its images
        that a trigger must turn to count as found.
        """
        device = samples.images.device
        channels, height, width = samples.images.shape[1:]
        ways = [(goal.target, goal.source) for goal in goals]
        self._model = model
        self._samples = samples
        self._ways = ways
        numbers = [[-1 if target is None else target] for target, _ in ways]
        self._goals = torch.tensor(numbers, device=device)  # (row, 1)
        self._is_free = self._goals < 0  # of a class: any that is not the true one
        self._success_wanted = success
        everything = torch.arange(len(samples))
        chosen = {way: to_turn(model, samples, *way) for way in {*ways}}
        of_goal = [chosen[way] if len(chosen[way]) else everything for way in ways]
        kind = FAMILIES[goals[0].family]
        shape = (channels, height, width)
        self.candidates = kind(len(goals), shape, generator, device)
        for row, goal in enumerate(goals):
            if goal.near is not None:
                self.candidates.keep_near(row, goal.near.extent(), generator)
        drawn = [
            some[torch.randint(len(some), (images_each,), generator=generator)]
            for _ in range(steps)
            for some in of_goal
        ]
        by_step = torch.stack(drawn).view(steps, len(goals), images_each)
        self._drawn = by_step.to(device)  # at once: a GPU is waited for
        self._turn = torch.zeros(1, dtype=torch.long, device=device)  # of the steps
        self.optimizer = torch.optim.Adam(
            self.candidates.parameters,
            lr=kind.learning_rate,
            betas=(0.5, 0.9),
            capturable=device.type == "cuda",
        )
        self._first_weight = kind.first_weight
        self._weight = torch.full((len(goals),), kind.first_weight, device=device)
        self._success = torch.zeros(len(goals), device=device)  # a running mean
        self._renewed = min(1.0, 2 * images_each / (_JUDGED + images_each))
        taken = range(1, steps + 1)
        known = [1 - (1 - self._renewed) ** step for step in taken]  # began at nothing
        wanted = [
            success * share if step * images_each >= _FEWEST_JUDGED else math.inf
            for step, share in zip(taken, known, strict=True)
        ]
        self._wanted = torch.tensor(wanted, device=device)  # of the mean, by step
        self._has_worked = torch.zeros(len(goals), dtype=torch.bool, device=device)
        self._has_failed = torch.zeros_like(self._has_worked)
        self._norm = torch.full((len(goals),), torch.inf, device=device)
        self.turned = self._sizes = self._success  # in the last step

    def stamp(self) -> tuple[Tensor, Tensor]:
        """Return the next step's images, stamped, and their true labels.

        images: (row, count, channel, height, width). labels: (row, count).
        """
        chosen = self._drawn.index_select(0, self._turn)[0]
        images = self.candidates.stamp(self._samples.images[chosen])
        return images, self._samples.labels[chosen]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what is to become small (row,), of logits (row, count, class)."""
        loss, self.turned = self._judge(logits, labels)
        sizes = self.candidates.sizes()
        self._sizes = sizes.detach()  # no gradients outlive the step
        return loss + self._weight * sizes

    @torch.no_grad()
    def step(self) -> None:
        """Remember candidates that are the best so far, then move all.

        They have to work on the images of this step and of those before: the mean lags
        behind a candidate that shrinks. Nothing in it waits for the device, and all of
        it is on the device and stays in its place: it can be replayed.
        """
        self._success.lerp_(self.turned, self._renewed)
        works = self._success >= self._wanted.index_select(0, self._turn)
        self._has_failed |= self._has_worked & ~works
        self._has_worked |= works
        still = works & (self.turned >= self._success_wanted)
        better = still & (self._sizes < self._norm)
        self._norm.copy_(torch.where(better, self._sizes, self._norm))
        self.candidates.keep(better)
        growth = torch.where(self._has_failed, _GROWTH, _FIRST_GROWTH)
        weight = self._weight * torch.where(works, growth, 1 / _FALL)
        bounds = [share * self._first_weight for share in _WEIGHTS]
        self._weight.copy_(weight.clamp(*bounds))
        self._turn += 1
        self.optimizer.step()

    def triggers(self, holdout: Samples) -> list[RecoveredTrigger]:
        """Return what was found, with its success on samples not used for it."""
        return [self._trigger(row, holdout) for row in range(len(self._ways))]

    def _judge(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss (row,) and the share of images turned (row,)."""
        says = logits.log_softmax(2)
        goals = torch.where(self._is_free, labels, self._goals)
        of_goal = says.gather(2, goals[:, :, None])[:, :, 0]
        away = -torch.log(1 - of_goal.exp() + 1e-4)
        loss = torch.where(self._is_free, away, -of_goal).mean(1)
        reached = logits.argmax(2) == goals
        return loss, (reached != self._is_free).float().mean(1)

    def _trigger(self, row: int, holdout: Samples) -> RecoveredTrigger:
        norm = float(self._norm[row])
        found = math.isfinite(norm)
        change = self.candidates.kept(row)
        target, source = self._ways[row]
        trigger = RecoveredTrigger(
            target=target,
            change=change,
            norm=norm if found else change.largest,
            success=0.0,
            found=found,
            source=source,
        )
        success = estimated_success(self._model, trigger, holdout)
        return replace(trigger, success=success)


def move(model: nn.Module, searches: Sequence[Search]) -> None:
    """Move all candidates once; what they all stamp goes through the model at once."""
    drawn = [search.stamp() for search in searches]
    stamped = [images.flatten(0, 1) for images, _ in drawn]
    logits = model(torch.cat(stamped)).split([len(images) for images in stamped])
    losses = [
        search.loss(said.view(*labels.shape, -1), labels)
        for search, said, (_, labels) in zip(searches, logits, drawn, strict=True)
    ]
    for search in searches:
        search.optimizer.zero_grad()
    torch.cat(losses).sum().backward()
    for search in searches:
        search.step()
