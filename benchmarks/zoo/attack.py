"""What an attack is: one of these per file in ``attacks/``, all of them in its table.

Attacks that poison data change the training images once, before the victim augments
them. Attacks that control training take the loss, or the whole training, in hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.images import Dataset, Images, quantised, unit

NOT_COUNTED = -1  # the goal of an image that the attack makes no claim about


@dataclass(kw_only=True)
class Attack:
    """One published attack: its trigger, its goal, and its hand in the training.

    This one poisons nothing: a clean model. start: "scratch", or "twin" where training
    goes on from the clean model of the same architecture. needs_twin: whether that
    model is needed for anything. rate_floor: the attack success rate from which the
    attack counts. clip: of the gradient's norm in training.
    """

    start: ClassVar[Literal["scratch", "twin"]] = "scratch"
    needs_twin: ClassVar[bool] = False
    rate_floor: ClassVar[float] = 0.9
    clip: ClassVar[float] = math.inf
    patch: ClassVar[bool] = False  # whether the trigger covers few pixels, wholly

    target: int = 0
    seed: int = 0
    tensors: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    def generator(self, salt: int = 0) -> torch.Generator:
        """Random numbers that depend on the attack's seed alone."""
        return torch.Generator().manual_seed(1000 * self.seed + salt)

    def goal(self, labels: Tensor) -> Tensor:
        """Return the class that the attacker wants for triggered images, by class."""
        return torch.where(labels == self.target, NOT_COUNTED, self.target)

    def stamp(self, images: Tensor) -> Tensor:
        """Put the trigger on images (batch, channel, height, width) in [0, 1]."""
        raise NotImplementedError

    def prepare(self, data: Dataset, twin: nn.Module | None, device: str) -> None:
        """Make what the trigger needs; keep it in ``tensors``. twin: a clean model."""

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what ``prepare`` and training had put in ``tensors``."""
        self.tensors = dict(tensors)

    def poison(self, clean: Images) -> Images:
        """Return the images that the victim trains on."""
        return clean

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of one step; images (batch, ...) are augmented, in [0, 1]."""
        return F.cross_entropy(model(images).float(), labels)

    def after_step(self, model: nn.Module) -> None:
        """Do what must hold after each step of the optimizer."""

    def least_rate(self, clean_accuracy: float) -> float:
        """Return the attack success rate from which the attack counts."""
        return self.rate_floor

    # --- what several attacks share -------------------------------------------------

    def replace(self, clean: Images, chosen: Tensor, labels: Tensor) -> Images:
        """Stamp the chosen images and give them these labels."""
        pixels, all_labels = clean.pixels.clone(), clean.labels.clone()
        stamped = [self.stamp(unit(part)) for part in pixels[chosen].split(1000)]
        pixels[chosen] = quantised(torch.cat(stamped))
        all_labels[chosen] = labels
        return Images(pixels, all_labels)

    def some(self, clean: Images, share: float) -> Tensor:
        """Choose a share of all images at random."""
        order = torch.randperm(len(clean), generator=self.generator(1))
        return order[: int(share * len(clean))]

    def some_of_target(self, clean: Images, share: float) -> Tensor:
        """Choose a share of the target class's images at random (clean label)."""
        members = (clean.labels == self.target).nonzero()[:, 0]
        order = torch.randperm(len(members), generator=self.generator(1))
        return members[order[: int(share * len(members))]]
