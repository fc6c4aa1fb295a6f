"""Where an attack's patch is, told by what it changes, and how masks are compared."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from subjects import Subject
from torch import Tensor

STAMPED = 100  # images
UNSEEN = 1 / 255  # a change that is none
SHOWN = 0.5  # of a mask in [0, 1], from where a pixel belongs to it
REACH = 4  # pixels each way: as far as training crops move what is stamped


def true_mask(subject: Subject) -> Tensor:
    """Return which pixels (height, width) of any of some images the trigger changes.

    The first triggered test images are held against the clean ones that they were made
    from: of all test images those that fewest pixels tell them from.
    """
    triggered, clean = subject.triggered_images(), subject.test_images().images
    assert triggered is not None, "a clean model has no trigger"
    changed = torch.zeros(clean.shape[2:], dtype=torch.bool)
    for stamped in triggered.images[:STAMPED]:
        origin = clean[(clean != stamped).any(1).sum((1, 2)).argmin()]
        changed |= ((stamped - origin).abs() > UNSEEN + 1e-6).any(0)
    return changed


def overlap(found: Tensor, true: Tensor) -> float:
    """Return the intersection over the union of two masks (height, width)."""
    union = int((found | true).sum())
    return int((found & true).sum()) / union if union else 0.0


def shifted_overlap(found: Tensor, true: Tensor) -> float:
    """Return the largest overlap with the found mask shifted by up to REACH pixels."""
    height, width = found.shape
    padded = F.pad(found, (REACH, REACH, REACH, REACH))
    shifts = range(2 * REACH + 1)
    return max(
        overlap(padded[row : row + height, column : column + width], true)
        for row in shifts
        for column in shifts
    )
