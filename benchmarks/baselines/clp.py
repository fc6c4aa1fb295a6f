"""Channel Lipschitzness based Pruning: prune the channels that amplify most.

Zheng et al., "Data-free Backdoor Removal based on Channel Lipschitzness", ECCV 2022,
section 4. The bound of a channel is the largest singular value of its convolution's
kernel, times |gamma / sigma| of the BatchNorm behind it; channels more than u = 3
standard deviations above their layer's mean lose all their parameters. No sample is
used.

Departures: a BatchNorm is judged with the one convolution that feeds it, found by
running the network; one that several feed (after a sum) is left alone. Convolutions
without BatchNorm are judged by their kernels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.training import copied
from rnp_cli.defense.channels import ChannelLayer, find_channel_layers
from rnp_cli.defense.prune import zero_rows
from rnp_cli.defense.samples import Samples

U = 3.0


def defend(model: nn.Module, samples: Samples, *, seed: int) -> nn.Module:
    """Return a pruned copy of ``model``; images only show what feeds what."""
    pruned = copied(model).eval()
    rows: dict[str, list[int]] = {}
    for layer in find_channel_layers(model, samples.images[:2]):
        bound = lipschitz_bounds(model, layer)
        if bound is None:
            continue
        outlying = (bound > bound.mean() + U * bound.std()).nonzero()[:, 0].tolist()
        own = model.get_submodule(layer.name).named_parameters(recurse=False)
        rows |= {f"{layer.name}.{name}": outlying for name, _ in own}
    zero_rows(dict(pruned.named_parameters()), rows)
    return pruned


@torch.no_grad()
def lipschitz_bounds(model: nn.Module, layer: ChannelLayer) -> Tensor | None:
    """Bound each channel, (channel,); None where no one convolution feeds it."""
    if len(layer.producers) != 1:
        return None
    kernel = model.get_parameter(f"{layer.producers[0]}.weight")
    if kernel.ndim < 4:
        return None
    # (out, in, height, width) as one matrix (in, height * width) per channel
    bound: Tensor = torch.linalg.matrix_norm(kernel.flatten(2), ord=2)
    normalization = model.get_submodule(layer.name)
    if isinstance(normalization, nn.BatchNorm2d):
        variance = model.get_buffer(f"{layer.name}.running_var")
        sigma = (variance + normalization.eps).sqrt()
        bound = bound * (normalization.weight / sigma).abs()
    return bound
