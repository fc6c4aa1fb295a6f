"""Pairs of classes: a mask that is far smaller than such a pair's usually is."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.evidence.pairs import judge_pairs, pairs_of
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.triggers.overlay import Overlay
from rnp_cli.evidence.verdict import Verdict, VerdictConfig

CLASSES = 8
NOTHING = Overlay(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4))
NEAR = (2, 6)  # images of the first are nearly of the second


def answers(near: float) -> Samples:
    """Images (count, 1, 1, class) that a flattening network takes for its logits."""
    labels = torch.arange(10 * CLASSES) % CLASSES
    images = 10 * nn.functional.one_hot(labels, CLASSES).float()
    images[labels == NEAR[0], NEAR[1]] = 10 - near
    return Samples(images[:, None, None, :], labels)


def sizes(*, near: float = 10.0) -> dict[tuple[int, int], float]:
    """Make sizes that differ by source, by target, by nearness and by chance."""
    generator = torch.Generator().manual_seed(0)
    leaving, reaching = 0.5 * torch.randn(2, CLASSES, generator=generator)
    noise = 0.15 * torch.randn(CLASSES, CLASSES, generator=generator)
    logs = 3 + leaving[:, None] + reaching[None, :] + noise
    logs[NEAR] += math.log(near / 10)
    return {
        (source, target): float(logs[source, target].exp())
        for source in range(CLASSES)
        for target in range(CLASSES)
        if source != target
    }


def judged(
    norms: Mapping[tuple[int, int], float], *, near: float = 10.0, found: int = 99
) -> Verdict | None:
    triggers = [
        RecoveredTrigger(target, NOTHING, norm, 1.0, number < found, source)
        for number, ((source, target), norm) in enumerate(norms.items())
    ]
    return judge_pairs(triggers, nn.Flatten(), answers(near), VerdictConfig())


def test_pairs_that_differ_as_their_classes_do_are_no_evidence() -> None:
    verdict = judged(sizes())

    assert verdict is not None
    assert verdict.level == "none"
    assert verdict.target is None
    assert verdict.p_value > 0.2


def test_one_pair_that_is_far_too_small_is_evidence() -> None:
    norms = sizes()
    norms[1, 5] /= 6

    verdict = judged(norms)

    assert verdict is not None
    assert verdict.level != "none"
    assert verdict.kind == "one-to-one"
    assert (verdict.source, verdict.target) == (1, 5)
    assert verdict.index > 7
    assert verdict.p_label is None


def test_near_classes_need_little_without_a_backdoor() -> None:
    near = judged(sizes(near=1.0), near=1.0)
    unknown = judged(sizes(near=1.0))

    assert near is not None
    assert unknown is not None
    assert near.level == "none"
    assert near.p_value > 10 * unknown.p_value


def test_nothing_is_said_where_most_pairs_have_no_trigger() -> None:
    assert judged(sizes(), found=20) is None
    assert judged({}) is None


@pytest.mark.parametrize(
    ("classes", "each", "expected"), [(6, 8, 30), (6, 7, 0), (4, 20, 0)]
)
def test_pairs_need_classes_and_images_of_each(
    classes: int, each: int, expected: int
) -> None:
    labels: Tensor = torch.arange(classes).repeat(each)
    some = Samples(torch.zeros(len(labels), 1, 4, 4), labels)

    goals = pairs_of(SplitSamples(some, some, classes))

    assert len(goals) == expected
    assert all(goal.source not in (None, goal.target) for goal in goals)
