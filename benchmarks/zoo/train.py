"""Train one victim: short one-cycle schedule, bfloat16 where the CPU has it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rnp_cli.defense.augment import Augmentation, augment
from zoo.attack import Attack
from zoo.images import Dataset, Images, unit
from zoo.networks import Normalized, channels_last


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How long and how fast. A twin's further training uses a lower peak rate."""

    epochs: int = 5
    batch: int = 128
    rate: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    crop_padding: int = 4


def train(
    network: str,
    data: Dataset,
    attack: Attack,
    recipe: Recipe,
    *,
    seed: int,
    device: str = "cpu",
    twin: nn.Module | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Normalized:
    """Train ``network`` under ``attack``; the result is in eval mode, on the CPU."""
    torch.manual_seed(seed)
    model = Normalized(network)
    if attack.start == "twin" and twin is not None:
        model.load_state_dict(twin.state_dict())
    model = channels_last(model.to(device))
    attack.prepare(data, twin, device)
    images = attack.poison(data.train).to(torch.device(device))
    how = Augmentation(crop_padding=recipe.crop_padding, flip=data.flips)
    optimizer = torch.optim.SGD(
        _decayed_apart(model, recipe.weight_decay),
        lr=recipe.rate,
        momentum=recipe.momentum,
        nesterov=True,
    )
    batches = -(-len(images) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=recipe.rate,
        total_steps=recipe.epochs * batches,
        pct_start=0.2,
    )
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(recipe.epochs):
        model.train()
        total = torch.zeros((), device=device)
        for chosen in torch.randperm(len(images), generator=generator).split(
            recipe.batch
        ):
            batch, labels = _batch(images, chosen, how, generator)
            with torch.autocast(device, dtype=torch.bfloat16):
                loss = attack.loss(model, batch, labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), attack.clip)
            optimizer.step()
            schedule.step()
            attack.after_step(model)
            total += loss.detach() * len(labels)  # read once, at the end
        mean = total.item() / len(images)
        if not math.isfinite(mean):
            raise FloatingPointError(f"training under {attack} has diverged")
        say(f"epoch {epoch + 1} of {recipe.epochs}: loss {mean:.3f}")
    return model.cpu().eval()


def _batch(
    images: Images, chosen: Tensor, how: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    part = images.take(chosen.to(images.labels.device))
    batch = augment(unit(part.pixels), how, generator)
    return batch.contiguous(memory_format=torch.channels_last), part.labels


def _decayed_apart(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Keep weight decay off biases and normalisation, as is customary."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
