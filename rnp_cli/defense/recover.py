"""Recover: the masks that win clean skill back, weights frozen (§3.2).

One value per channel moves, clipped to [0, 1] after each step. Backdoor channels fall
because they are of no use to clean samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rnp_cli.defense.augment import Augmentation, augment
from rnp_cli.defense.channels import ChannelLayer
from rnp_cli.defense.masks import MaskedModel, full_masks
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.unlearn import Unlearned
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore

STAGE = "recover"


class RecoverConfig(BaseModel):
    """Knobs of the recovery; defaults are the authors' code's."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    learning_rate: float = Field(0.2, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    loss_scale: float = Field(0.2, gt=0)  # alpha
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(128, ge=2)


@dataclass(frozen=True, eq=False)
class ChannelMasks:
    """Where the masks of each layer ended, (channel,) on the CPU.

    history: clean accuracy of the masked unlearned model on the holdout per epoch,
    in the batch-statistics mode that the masks are fitted in.
    """

    layers: tuple[ChannelLayer, ...]
    value: dict[str, Tensor]
    history: tuple[float, ...]


def recover(
    unlearned: Unlearned,
    layers: Sequence[ChannelLayer],
    samples: SplitSamples,
    config: RecoverConfig,
    *,
    augmentation: Augmentation,
    seed: int,
    listen: Listener = ignore,
) -> ChannelMasks:
    """Fit one mask per channel of the unlearned model to the clean samples."""
    listen(StageStarted(stage=STAGE, total=config.epochs))
    generator = torch.Generator().manual_seed(seed)
    masks = full_masks(layers, samples.fit.images.device)
    optimizer = torch.optim.SGD(
        masks.values(), lr=config.learning_rate, momentum=config.momentum
    )
    model = unlearned.model.train()
    masked = MaskedModel(model, layers)
    history = []
    for epoch in range(1, config.epochs + 1):
        for batch in samples.fit.batches(config.batch_size, generator):
            images = augment(batch.images, augmentation, generator)
            loss = F.cross_entropy(masked(images, masks), batch.labels)
            optimizer.zero_grad()
            (config.loss_scale * loss).backward()
            optimizer.step()
            with torch.no_grad():
                for mask in masks.values():
                    mask.clamp_(0, 1)
        history.append(_masked_accuracy(masked, masks, samples, config.batch_size))
        listen(StepDone(stage=STAGE, step=epoch, clean_accuracy=history[-1]))
    model.eval()
    value = {name: mask.detach().cpu() for name, mask in masks.items()}
    zeros = sum(int((mask == 0).sum()) for mask in value.values())
    channels = sum(layer.channels for layer in layers)
    summary = f"{zeros} of {channels} masks fell to zero"
    listen(StageDone(stage=STAGE, summary=summary))
    return ChannelMasks(tuple(layers), value, tuple(history))


@torch.no_grad()
def _masked_accuracy(
    masked: MaskedModel, masks: dict[str, Tensor], samples: SplitSamples, size: int
) -> float:
    holdout = samples.holdout
    parts = [masked(images, masks).argmax(1) for images in holdout.images.split(size)]
    return (torch.cat(parts) == holdout.labels).float().mean().item()
