"""Adversarial masks: fit them against the worst push of the channels (ANP).

Wu, Wang, "Adversarial Neuron Pruning Purifies Backdoored Deep Models", NeurIPS 2021,
section 4: weights and biases of each channel are pushed, relatively, by one step in the
direction that raises the loss, and the masks are fitted to bear it. Channels of a
backdoor bear it least. Departures: the masks begin where recovery left them instead of
at one, so that few steps do; and which of them to prune is not told by a fixed value,
but chosen as for recovered masks.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.func import functional_call

from rnp_cli.defense.augment import Augmentation, augment
from rnp_cli.defense.masks import Masks
from rnp_cli.defense.recover import ChannelMasks
from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore

STAGE = "adversarial"


class AdversarialConfig(BaseModel):
    """Knobs of the fit; defaults are the paper's unless said otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(100, ge=1)
    """Steps of the fit. The paper takes 2,000, from masks of one; these begin where
    recovery left them."""
    push: float = Field(0.4, gt=0)
    """How far an adversary may push each weight and bias, as a share of it, while the
    masks are fitted to bear that."""
    natural: float = Field(0.2, ge=0, le=1)
    """How much the loss without a push counts; the rest, up to 1, is that of the loss
    under the push."""
    learning_rate: float = Field(0.2, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    batch_size: int = Field(128, ge=2)


def adversarial_masks(
    model: nn.Module,
    recovered: ChannelMasks,
    samples: SplitSamples,
    config: AdversarialConfig,
    *,
    augmentation: Augmentation,
    seed: int,
    listen: Listener = ignore,
) -> ChannelMasks:
    """Return masks of ``model`` that bear a push, begun at the recovered ones.

    model: the original, not the unlearned one; it stays as it is. The history of the
    result is that of ``recovered``.
    Raises DefenseFailed when the masks turn NaN.
    """
    listen(StageStarted(stage=STAGE, total=config.steps))
    device = samples.fit.images.device
    generator = torch.Generator().manual_seed(seed)
    masks = {
        name: mask.to(device, copy=True).requires_grad_(True)
        for name, mask in recovered.value.items()
    }
    optimizer = torch.optim.SGD(
        masks.values(), lr=config.learning_rate, momentum=config.momentum
    )
    pushed = _Pushed(model, recovered)
    for step in range(1, config.steps + 1):
        batch = _draw(samples.fit, config.batch_size, generator)
        images = augment(batch.images, augmentation, generator)
        worst = pushed.worst(images, batch.labels, masks, config.push, generator)
        natural = F.cross_entropy(pushed(images, masks, {}), batch.labels)
        robust = F.cross_entropy(pushed(images, masks, worst), batch.labels)
        loss = config.natural * natural + (1 - config.natural) * robust
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for mask in masks.values():
                mask.clamp_(0, 1)
        listen(StepDone(stage=STAGE, step=step))
    value = {name: mask.detach().cpu() for name, mask in masks.items()}
    everything = torch.cat(list(value.values()))
    if not bool(torch.isfinite(everything).all()):
        raise DefenseFailed(
            "The adversarial masks turned to values that are not finite.",
            hint="Lower adversarial.learning_rate with --config, or use --method rnp.",
        )
    low = int((everything <= 0.5).sum())
    summary = f"{low} of {len(everything)} masks are at most one half"
    listen(StageDone(stage=STAGE, summary=summary))
    return ChannelMasks(recovered.layers, value, recovered.history)


def _draw(samples: Samples, size: int, generator: torch.Generator) -> Samples:
    """Draw a batch, with replacement."""
    size = min(size, len(samples))
    return samples.take(torch.randint(len(samples), (size,), generator=generator))


class _Pushed:
    """A model whose channels are masked and pushed, with batch statistics."""

    def __init__(self, model: nn.Module, masks: ChannelMasks) -> None:
        self._model = model
        self._weights = {name: p.detach() for name, p in model.named_parameters()}
        self._buffers = {name: b.clone() for name, b in model.named_buffers()}
        self._masked = {
            name: layer.name for layer in masks.layers for name in layer.scaled
        }
        biases = [f"{layer.name}.bias" for layer in masks.layers]
        self._moved = list(
            dict.fromkeys([*self._masked, *(b for b in biases if b in self._weights)])
        )

    def worst(
        self,
        images: Tensor,
        labels: Tensor,
        masks: Masks,
        most: float,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Return the pushes (channel,) after one step that raises the loss."""
        start = {}
        for name in self._moved:
            weight = self._weights[name]
            drawn = 2 * torch.rand(len(weight), generator=generator) - 1
            start[name] = (most * drawn).to(weight.device).requires_grad_(True)
        loss = F.cross_entropy(self(images, masks, start), labels)
        slopes = torch.autograd.grad(loss, list(start.values()))
        return {
            name: (push.detach() + most * slope.sign()).clamp(-most, most)
            for (name, push), slope in zip(start.items(), slopes, strict=True)
        }

    def __call__(
        self, images: Tensor, masks: Masks, pushes: Mapping[str, Tensor]
    ) -> Tensor:
        """Logits (batch, class)."""
        state = {**self._weights, **self._buffers}
        for name in self._moved:
            weight = self._weights[name]
            factor = weight.new_ones(len(weight))
            if name in self._masked:
                factor = masks[self._masked[name]]
            if name in pushes:
                factor = factor + pushes[name]
            state[name] = weight * factor.view(-1, *[1] * (weight.ndim - 1))
        training = [(module, module.training) for module in self._model.modules()]
        self._model.train()
        try:
            logits: Tensor = functional_call(self._model, state, (images,))
        finally:
            for module, was_training in training:
                module.training = was_training
        return logits
