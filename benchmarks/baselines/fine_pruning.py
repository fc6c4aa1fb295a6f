"""Fine-pruning: prune what sleeps on clean samples, then fine-tune.

Liu, Dolan-Gavitt, Garg, "Fine-Pruning: Defending Against Backdooring Attacks on Deep
Neural Networks", RAID 2018, sections 3.2 and 3.3. The channels of the last convolution
are cut in the order of their mean activation, least first, as long as clean accuracy
keeps nine tenths of its value (BackdoorBench's ratio of 0.1; the paper leaves the
number to the defender); then the network is fine-tuned, and the channels stay cut.

Departures: the last layer of channels is the BatchNorm after the last convolution where
there is one, and a channel's activation is the mean of its output after a ReLU;
accuracy is measured on the defender's samples, every 32nd part of the channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines import fine_tuning
from baselines.training import copied, fit
from rnp_cli.defense.channels import ChannelLayer, find_channel_layers
from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import clean_accuracy, logits_of
from rnp_cli.errors import DefenseFailed

TOLERANCE = 0.1
STEPS = 32


def defend(model: nn.Module, samples: Samples, *, seed: int) -> nn.Module:
    """Return a copy of ``model``, pruned and fine-tuned."""
    found = find_channel_layers(model, samples.images[:2])
    layers = [layer for layer in found if layer.kind != "linear"]
    if not layers:
        raise DefenseFailed("There is no convolution to prune.")
    last = layers[-1]
    pruned = copied(model)
    cut = bearable(model, last, samples)
    _silence(pruned, last, cut)
    fit(
        pruned,
        samples,
        rate=fine_tuning.RATE,
        epochs=fine_tuning.EPOCHS,
        weight_decay=fine_tuning.WEIGHT_DECAY,
        batch_size=fine_tuning.BATCH,
        seed=seed,
        after_step=lambda: _silence(pruned, last, cut),
    )
    return pruned


def activity(model: nn.Module, layer: ChannelLayer, images: Tensor) -> Tensor:
    """Return the sum of each channel's output after a ReLU, (channel,)."""
    seen: list[Tensor] = []

    def remember(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        seen.append(F.relu(output).transpose(0, 1).flatten(1).sum(1))

    hook = model.get_submodule(layer.name).register_forward_hook(remember)
    try:
        logits_of(model, images)
    finally:
        hook.remove()
    return torch.stack(seen).sum(0)


def bearable(model: nn.Module, layer: ChannelLayer, samples: Samples) -> Tensor:
    """Return the channels, the least active first, that accuracy bears the loss of."""
    trial = copied(model)
    least = (1 - TOLERANCE) * clean_accuracy(trial, samples)
    order = activity(trial, layer, samples.images).argsort()
    step = max(1, len(order) // STEPS)
    cut = order[:0]
    for count in range(step, len(order), step):
        _silence(trial, layer, order[:count])
        if clean_accuracy(trial, samples) < least:
            break
        cut = order[:count]
    return cut


def _silence(model: nn.Module, layer: ChannelLayer, channels: Tensor) -> None:
    """Set all parameters of these channels to zero, in place."""
    with torch.no_grad():
        for parameter in model.get_submodule(layer.name).parameters(recurse=False):
            parameter[channels] = 0
