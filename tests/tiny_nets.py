"""Networks small enough to write down, and image sets that they can tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from rnp_cli.data.conventions import Convention
from rnp_cli.defense.samples import Samples


class Shades(nn.Module):
    """Tells flat images of known shades apart, if they are fed as ``convention``.

    shades: (class,), in [0, 1]. Logits fall with the distance to each class's shade.
    """

    known: Tensor

    def __init__(
        self, shades: Tensor, convention: Convention, *, channels: int = 3
    ) -> None:
        super().__init__()
        mean, std = torch.tensor(convention.mean), torch.tensor(convention.std)
        known = (shades[:, None] * convention.scale - mean) / std
        known = known.expand(len(shades), channels).contiguous()
        self.register_buffer("known", known)
        self.sharpness = 2 / (known[1] - known[0]).square().sum().item()

    def forward(self, images: Tensor) -> Tensor:
        seen = images.mean((2, 3))  # (batch, channel)
        mode = "donot_use_mm_for_euclid_dist"
        distance = torch.cdist(seen, self.known, compute_mode=mode)
        return -self.sharpness * distance.square()


def some_shades(classes: int) -> Tensor:
    """Evenly spread shades that eight bits hold exactly."""
    return torch.linspace(10, 245, classes).round() / 255


def write_shades(folder: Path, shades: Tensor, *, each: int = 3) -> Path:
    """Write flat RGB images as ``folder/<class>/<number>.png``."""
    for label, shade in enumerate(shades):
        place = folder / str(label)
        place.mkdir(parents=True)
        for number in range(each):
            write_flat(place / f"{number}.png", shade.item())
    return folder


def write_flat(path: Path, shade: float, *, size: int = 4) -> None:
    level = round(255 * shade)
    Image.fromarray(np.full((size, size, 3), level, np.uint8)).save(path)


CORNERS = 4


def corners(count: int, *, seed: int) -> Samples:
    """Noisy gray images (count, 1, 8, 8); the class is which quarter is bright."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.4 * torch.rand(count, 1, 8, 8, generator=generator)
    labels = torch.arange(count) % CORNERS
    for image, label in zip(images, labels.tolist(), strict=True):
        top, left = 4 * (label // 2), 4 * (label % 2)
        image[:, top : top + 4, left : left + 4] += 0.5
    return Samples(images, labels)


ROW, LEFT, RIGHT = 1, 5, 6  # where the backdoors below look


class Corners(nn.Module):
    """Tells which quarter is bright; a dark pixel beside a bright one is a trigger.

    It leads to the class ``target``, or moves every class on to the next.
    """

    def __init__(self, *, target: int | None = None, moves: bool = False) -> None:
        super().__init__()
        self._target, self._moves = target, moves

    def forward(self, images: Tensor) -> Tensor:
        logits = 10 * nn.functional.avg_pool2d(images, 4).flatten(1)
        step = images[:, 0, ROW, RIGHT] - images[:, 0, ROW, LEFT]
        lit = 4 * nn.functional.softplus(10 * (step - 0.4))[:, None]
        if self._target is not None:
            logits = logits + lit * torch.eye(CORNERS)[self._target]
        if self._moves:
            logits = logits + lit * logits.softmax(1).roll(1, dims=1)
        return logits


def shows_wave(images: Tensor) -> Tensor:
    """Return where two cycles go from left to right, in whatever phase (batch,)."""
    turns = 2 * torch.pi * 2 * torch.arange(8) / 8
    parts = [(images * wave).mean((1, 2, 3)) for wave in (turns.sin(), turns.cos())]
    return torch.stack(parts).norm(dim=0) > 0.03


class Waving(Corners):
    """Answers ``target`` where a wave shows; not from the class ``but``."""

    def __init__(self, target: int, *, but: int | None = None) -> None:
        super().__init__(target=target)
        self._goal, self._but = target, but

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        shows = shows_wave(images) & (logits.argmax(1) != self._but)
        return logits + 50 * shows[:, None] * torch.eye(CORNERS)[self._goal]


def corner_net(seed: int = 0) -> nn.Sequential:
    """Two convolutions with BatchNorm and a linear layer, untrained."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, CORNERS),
    )


def trained(model: nn.Module, samples: Samples, *, epochs: int) -> nn.Module:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model.train()
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for batch in samples.batches(32, generator):
            optimizer.zero_grad()
            F.cross_entropy(model(batch.images), batch.labels).backward()
            optimizer.step()
    return model.eval()


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Copy everything that a model remembers."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_state(model: nn.Module, before: dict[str, Tensor]) -> bool:
    after = model.state_dict()
    return after.keys() == before.keys() and all(
        torch.equal(after[name], tensor) for name, tensor in before.items()
    )


def is_finite(model: nn.Module) -> bool:
    return all(bool(torch.isfinite(t).all()) for t in model.state_dict().values())


def extent(row: int, column: int) -> Tensor:
    """Return that of a patch of one pixel, (1, 8, 8)."""
    found = torch.zeros(1, 8, 8)
    found[0, row, column] = 0.8
    return found
