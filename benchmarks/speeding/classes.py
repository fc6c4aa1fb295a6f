"""More classes than the images have: each divided by how bright they are."""

from __future__ import annotations

import torch

from rnp_cli.defense.samples import Samples


def divided(samples: Samples, classes: int) -> Samples:
    """Return samples of ``classes`` classes, a multiple of the labels that they have.

    Those of a class are ordered by their mean brightness and cut into equal parts.
    """
    present = samples.labels.unique().tolist()
    parts, rest = divmod(classes, len(present))
    if rest or not parts:
        raise ValueError(f"{classes} is no multiple of {len(present)} classes")
    brightness = samples.images.mean((1, 2, 3))
    labels = torch.empty_like(samples.labels)
    for number, label in enumerate(present):
        rows = (samples.labels == label).nonzero()[:, 0]
        order = rows[brightness[rows].argsort(stable=True)]
        part = torch.arange(len(order)) * parts // len(order)
        labels[order] = number * parts + part
    return Samples(samples.images, labels)
