"""The floor: seconds per image of the bare computation, and nothing around it.

Eager, in the tool's own precision and memory format, on one batch that lies there
already: no data are handled, nothing is stepped, nothing measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from rnp_cli.data.classifier import Classifier
from speeding.counting import Kind

_SIZES: Mapping[Kind, int] = {"forward": 256, "inputs": 160, "weights": 128}


def seconds_per_image(
    classifier: Classifier, images: Tensor, labels: Tensor, *, passes: int
) -> dict[Kind, float]:
    """Time each kind of pass in turn, ``passes`` times; return the mean of each.

    classifier: as the stages work with it (``OpenedModel.working``).
    """
    runs: dict[Kind, Callable[[Tensor, Tensor], None]] = {
        "forward": lambda x, y: _forward(classifier, x),
        "inputs": lambda x, y: _backward(classifier, x, y, weights=False),
        "weights": lambda x, y: _backward(classifier, x, y, weights=True),
    }
    took = dict.fromkeys(runs, 0.0)
    for number in range(passes + 1):
        for kind, run in runs.items():
            chosen = torch.arange(_SIZES[kind]) % len(images)
            batch, goals = images[chosen], labels[chosen]
            _synchronize(images)
            began = time.perf_counter()
            run(batch, goals)
            _synchronize(images)
            if number:  # the first warms up
                took[kind] += (time.perf_counter() - began) / len(batch)
    return {kind: seconds / passes for kind, seconds in took.items()}


def _forward(classifier: Classifier, images: Tensor) -> None:
    with torch.no_grad():
        classifier(images)


def _backward(
    classifier: Classifier, images: Tensor, labels: Tensor, *, weights: bool
) -> None:
    classifier.requires_grad_(weights)
    images = images.clone().requires_grad_(not weights)
    F.cross_entropy(classifier(images), labels).backward()
    classifier.zero_grad(set_to_none=True)


def _synchronize(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize()
