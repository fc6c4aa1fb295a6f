"""STRIP: a triggered image keeps its class whatever clean image is laid over it.

Gao et al., "STRIP: A Defence Against Trojan Attacks on Deep Neural Networks", ACSAC
2019, section 5. Each image is superimposed with N = 100 clean images, and the Shannon
entropy of the model's predictions, in bits, averaged over them. Low is suspect.

The paper does not fix how two images are superimposed; here pixels are added and
clipped, as the authors' code does it with both weights one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of

OVERLAYS = 100


def entropies(
    model: nn.Module, samples: Samples, images: Tensor, *, seed: int
) -> Tensor:
    """Return the mean entropy (count,) of each image's superimposed copies.

    images: (count, channel, height, width) in [0, 1], on the samples' device.
    """
    generator = torch.Generator().manual_seed(seed)
    found = []
    for image in images:
        chosen = torch.randperm(len(samples), generator=generator)[:OVERLAYS]
        overlays = samples.images[chosen.to(samples.images.device)]
        logits = logits_of(model, (image + overlays).clamp(0, 1)).double()
        logarithms = logits.log_softmax(1) / math.log(2)
        entropy = -(logits.softmax(1) * logarithms).sum(1)
        found.append(entropy.mean().cpu())
    return torch.stack(found)
