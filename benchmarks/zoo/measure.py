"""Clean accuracy (CA) and attack success rate (ASR) of a model on test images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.attack import NOT_COUNTED, Attack
from zoo.images import Images, quantised, unit


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Shares in [0, 1]; no success rate for a clean model."""

    clean_accuracy: float
    attack_success_rate: float | None


def measure(model: nn.Module, attack: Attack | None, test: Images) -> Measured:
    """Measure on these test images; stamped ones are rounded to 8 bits, like files."""
    accuracy = (predict(model, test.pixels) == test.labels).float().mean().item()
    if attack is None:
        return Measured(clean_accuracy=accuracy, attack_success_rate=None)
    triggered, goals = triggered_images(attack, test)
    success = (predict(model, triggered) == goals).float().mean().item()
    return Measured(clean_accuracy=accuracy, attack_success_rate=success)


def triggered_images(attack: Attack, test: Images) -> tuple[Tensor, Tensor]:
    """Return stamped pixels, and the goals, of all images that the attack counts."""
    goals = attack.goal(test.labels)
    counted = goals != NOT_COUNTED
    with torch.no_grad():
        parts = [
            quantised(attack.stamp(unit(part)))
            for part in test.pixels[counted].split(500)
        ]
    return torch.cat(parts), goals[counted]


@torch.no_grad()
def predict(model: nn.Module, pixels: Tensor) -> Tensor:
    """Return the class of each image (count, channel, height, width) uint8."""
    model.eval()
    parts = [
        model(unit(part).contiguous(memory_format=torch.channels_last)).argmax(1)
        for part in pixels.split(500)
    ]
    return torch.cat(parts)
