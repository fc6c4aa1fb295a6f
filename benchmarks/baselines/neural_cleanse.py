"""Neural Cleanse's detection: Wang et al., "Neural Cleanse", S&P 2019, §IV.

For each class a mask and a pattern are optimised (Adam, rate 0.1, tanh
parametrisation, batches of 32) so that clean images go to the class; the weight of the
mask's L1 norm starts at 0.001, grows by 1.5 while 99 % of the images are turned for
five steps running, and shrinks by 1.5^1.5 while they are not. The anomaly index is the
distance of a norm from the median in median absolute deviations times 1.4826; a class
above 2, with a norm below the median, is called a target.

Departures: the classes are optimised side by side, for so many steps as are given,
which is far fewer than the paper's; there is no early stopping.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples

FLAGGED = 2.0
BATCH = 32
RATE = 0.1
WANTED = 0.99
PATIENCE = 5
UP, DOWN = 1.5, 1.5**1.5


@dataclass(frozen=True)
class Anomaly:
    """The class with the smallest mask: its index, and the norms of all classes."""

    target: int
    index: float
    norms: tuple[float, ...]

    @property
    def is_flagged(self) -> bool:
        """Whether the paper calls the model backdoored."""
        return self.index > FLAGGED


def neural_cleanse(
    model: nn.Module, samples: Samples, *, classes: int, steps: int, seed: int
) -> Anomaly:
    """Look for the class that a small pattern reaches.

    model: images (batch, channel, height, width) in [0, 1] to logits, on the samples'
    device. What is drawn is drawn on the CPU, the same for every device.
    """
    device = samples.images.device
    model = copy.deepcopy(model).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = samples.images.shape[1:]
    mask = torch.randn(classes, 1, height, width, generator=generator)
    pattern = torch.randn(classes, channels, height, width, generator=generator)
    mask = mask.to(device).requires_grad_(True)
    pattern = pattern.to(device).requires_grad_(True)
    optimizer = torch.optim.Adam([mask, pattern], lr=RATE, betas=(0.5, 0.9))
    weight = torch.full((classes,), 1e-3, device=device)
    best = torch.full((classes,), float(height * width), device=device)
    above, below = torch.zeros(2, classes, device=device)
    goals = torch.arange(classes, device=device).repeat_interleave(BATCH)
    for _ in range(steps):
        chosen = torch.randint(len(samples), (classes, BATCH), generator=generator)
        images = samples.images[chosen.to(device)]
        shown, drawn = _unit(mask)[:, None], _unit(pattern)[:, None]
        logits = model(((1 - shown) * images + shown * drawn).flatten(0, 1))
        losses = F.cross_entropy(logits, goals, reduction="none")
        norms = _unit(mask).sum((1, 2, 3))
        optimizer.zero_grad()
        (losses.view(classes, BATCH).mean(1) + weight * norms).sum().backward()
        optimizer.step()
        turned = (logits.argmax(1) == goals).float().view(classes, BATCH).mean(1)
        works = turned >= WANTED
        best = torch.where(works, torch.minimum(best, norms.detach()), best)
        above = torch.where(works, above + 1, 0)
        below = torch.where(works, 0, below + 1)
        weight = torch.where(above >= PATIENCE, weight * UP, weight)
        weight = torch.where(below >= PATIENCE, weight / DOWN, weight)
        above = torch.where(above >= PATIENCE, 0, above)
        below = torch.where(below >= PATIENCE, 0, below)
    return _outlier(best)


def _unit(values: Tensor) -> Tensor:
    return (torch.tanh(values) + 1) / 2


def _outlier(norms: Tensor) -> Anomaly:
    middle = norms.median()
    deviation = 1.4826 * (norms - middle).abs().median()
    target = int(norms.argmin())
    index = float((middle - norms[target]) / deviation.clamp_min(1e-9))
    return Anomaly(target, index, tuple(norms.tolist()))
