"""Find what a network expects of its images by trying what the field does.

Every accepted shape under every convention, and for every reading of the weights, is
scored on a part of the clean samples, the best ones on all of them. With labels the
score is clean accuracy; without, it is how much a prediction tells about its image
(the mutual information between the two): a network fed wrongly is unsure, or calls
everything one class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnp_cli.data.classifier import Classifier, InputSpec, as_logits, kind_of_output
from rnp_cli.data.conventions import CONVENTIONS, Convention
from rnp_cli.data.decode import decode
from rnp_cli.data.shapes import InputShape
from rnp_cli.defense.score import logits_of
from rnp_cli.errors import UsageError

_SUBSET = 64
_FINALISTS = 4


@dataclass(frozen=True)
class Found:
    """The reading of the weights that knows the samples best, and its input.

    network: an index into the readings tried. score: of all samples, clean accuracy or,
    without labels, information; of a part of them where there was one candidate only.
    """

    network: int
    spec: InputSpec
    score: float


@dataclass(frozen=True)
class _Scored(Found):
    tie_break: float


def find_input_spec(
    networks: Sequence[nn.Module],
    paths: Sequence[Path],
    labels: Tensor | None,
    shapes: Sequence[Sequence[InputShape]],
    convention: Convention | None,
    *,
    seed: int,
    device: torch.device,
) -> Found:
    """Return the reading and the input under which the samples are known best.

    labels: (count,) int64, or None when there are none. shapes: what each network
    accepts. convention: the one to take, or None to find it. Equals go to the first.
    Raises UsageError when the convention is for other channels than the networks'.
    """
    generator = torch.Generator().manual_seed(seed)
    some = torch.randperm(len(paths), generator=generator)[:_SUBSET].tolist()
    scored: list[_Scored] = []
    wanted = None if labels is None else labels[some]
    conventions = CONVENTIONS if convention is None else (convention,)
    for shape in dict.fromkeys(shape for accepted in shapes for shape in accepted):
        images = _decode([paths[i] for i in some], shape).to(device)
        scored += [
            _score(networks[i], i, images, wanted, shape, candidate)
            for i, accepted in enumerate(shapes)
            for candidate in conventions
            if shape in accepted and candidate.suits(shape.channels)
        ]
    if not scored:
        raise UsageError(
            "The mean or std given is for another number of channels than the "
            "network's.",
            hint="Give one number for all channels, or one per channel.",
        )
    finalists = sorted(scored, key=_best_first)[:_FINALISTS]
    if len(paths) > len(some) and len(finalists) > 1:
        finalists = _rescore(networks, paths, labels, finalists, device)
    return min(finalists, key=_best_first)


def information(logits: Tensor) -> float:
    """Mutual information, in nats, between images and predictions (count, class)."""
    logs = logits.double().log_softmax(1)
    mean = logs.exp().mean(0)
    of_mean = -torch.xlogy(mean, mean).sum()
    each = -(logs.exp() * logs.clamp_min(-1e4)).sum(1)
    return (of_mean - each.mean()).item()


def _best_first(scored: _Scored) -> tuple[float, float]:
    return (-scored.score, -scored.tie_break)


def _decode(paths: Sequence[Path], shape: InputShape) -> Tensor:
    return decode(paths, channels=shape.channels, size=shape.size, fit=shape.fit)


def _rescore(
    networks: Sequence[nn.Module],
    paths: Sequence[Path],
    labels: Tensor | None,
    finalists: Sequence[Found],
    device: torch.device,
) -> list[_Scored]:
    """Score the finalists on all samples, decoding them once for each shape."""
    scored = []
    specs = [found.spec for found in finalists]
    for shape in dict.fromkeys(InputShape(s.channels, s.size, s.fit) for s in specs):
        images = _decode(paths, shape).to(device)
        scored += [
            _score(networks[i], i, images, labels, shape, spec.convention)
            for i, spec in ((found.network, found.spec) for found in finalists)
            if InputShape(spec.channels, spec.size, spec.fit) == shape
        ]
    return scored


def _score(
    network: nn.Module,
    index: int,
    images: Tensor,
    labels: Tensor | None,
    shape: InputShape,
    convention: Convention,
) -> _Scored:
    spec = InputSpec(
        channels=shape.channels, size=shape.size, fit=shape.fit, convention=convention
    )
    output = logits_of(Classifier(network, spec).to(images.device), images).cpu()
    spec = spec.model_copy(update={"output": kind_of_output(output)})
    logits = as_logits(output, spec.output)
    if labels is None:
        return _Scored(index, spec, information(logits), 0.0)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    return _Scored(index, spec, accuracy, -F.cross_entropy(logits, labels).item())
