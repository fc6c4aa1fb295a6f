"""Gradient ascent on a copy of a model, one epoch at a time, and back again."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from rnp_cli.defense.augment import Augmentation, augment
from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import logits_of


class Ascent:
    """The model on its way up the loss, with the last accepted epoch to go back to."""

    def __init__(
        self,
        model: nn.Module,
        augmentation: Augmentation,
        *,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        batch_size: int,
        seed: int,
    ) -> None:
        self.model = copy.deepcopy(model).requires_grad_(True)
        self.backoffs = 0
        self._batch_size = batch_size
        self._augmentation = augmentation
        self._generator = torch.Generator().manual_seed(seed)
        self._optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
        )
        self._remember()

    @property
    def rate(self) -> float:
        """Return the learning rate of the next epoch."""
        return float(self._optimizer.param_groups[0]["lr"])

    def epoch(self, samples: Samples) -> float:
        """One pass of ascent; return the mean cross-entropy, which may be NaN."""
        self.model.train()
        losses = []
        for batch in samples.batches(self._batch_size, self._generator):
            images = augment(batch.images, self._augmentation, self._generator)
            loss = F.cross_entropy(self.model(images), batch.labels)
            self._optimizer.zero_grad()
            (-loss).backward()
            self._optimizer.step()
            losses.append(loss.detach())
        self.model.eval()
        return torch.stack(losses).mean().item()

    def measure(self, samples: SplitSamples) -> tuple[float, tuple[int, ...]]:
        """Clean accuracy on the holdout, and all wrong predictions by class.

        NaN where the last step has spoiled weights or logits.
        """
        held, fit = (
            logits_of(self.model, part.images)
            for part in (samples.holdout, samples.fit)
        )
        everything = (*self.model.state_dict().values(), held, fit)
        sound = torch.stack([tensor.isfinite().all() for tensor in everything])
        if not bool(sound.all()):  # asked once: a GPU is waited for
            return math.nan, ()
        right = held.argmax(1) == samples.holdout.labels
        predicted = torch.cat([held, fit]).argmax(1)
        labels = torch.cat([samples.holdout.labels, samples.fit.labels])
        wrong = torch.bincount(predicted[predicted != labels], minlength=held.shape[1])
        return right.float().mean().item(), tuple(wrong.tolist())

    def take_back(self) -> None:
        """Undo the epoch and go on at half the rate."""
        self.go_back()
        self._optimizer.state.clear()
        for parameter, momentum in self._momentum.items():
            self._optimizer.state[parameter] = {"momentum_buffer": momentum.clone()}
        self._set_rate(self.rate / 2)
        self.backoffs += 1

    def go_back(self) -> None:
        """Return to the weights that were kept last."""
        self.model.load_state_dict(self._weights)

    def keep(self, *, faster: bool) -> None:
        """Accept the epoch."""
        if faster:
            self._set_rate(self.rate * 2)
        self._remember()

    def _set_rate(self, rate: float) -> None:
        self._optimizer.param_groups[0]["lr"] = rate

    def _remember(self) -> None:
        """Copy tensors one by one: copying whole dictionaries deeply takes longer."""
        weights = self.model.state_dict()
        self._weights = {name: tensor.clone() for name, tensor in weights.items()}
        self._momentum = {
            parameter: state["momentum_buffer"].clone()
            for parameter, state in self._optimizer.state.items()
        }
