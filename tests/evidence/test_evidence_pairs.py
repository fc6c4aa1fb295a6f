"""Pairs of classes: a mask that is far smaller than such a pair's usually is."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.evidence.pairs import Pairs, leads_of, pairs_of
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.triggers.overlay import Overlay
from rnp_cli.evidence.verdict import Verdict, VerdictConfig

CLASSES = 8
NOTHING = Overlay(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4))
NEAR = (2, 6)  # images of the first are nearly of the second
NORMS = Mapping[tuple[int, int], float]


def leads(*, near: float = 10.0, classes: int = CLASSES) -> Tensor:
    """All classes are 10 apart, but for two."""
    apart = torch.full((classes, classes), 10.0).double()
    if near < 10:
        apart[NEAR] = near
    return apart


def sizes(
    *, near: float = 10.0, classes: int = CLASSES, noise: float = 0.15, seed: int = 0
) -> dict[tuple[int, int], float]:
    """Make sizes that differ by source, by target, by nearness and by chance."""
    generator = torch.Generator().manual_seed(seed)
    leaving, reaching = 0.5 * torch.randn(2, classes, generator=generator)
    logs = 3 + leaving[:, None] + reaching[None, :]
    logs += noise * torch.randn(classes, classes, generator=generator)
    if near < 10:
        logs[NEAR] += math.log(near / 10)
    return {
        (source, target): float(logs[source, target].exp())
        for source in range(classes)
        for target in range(classes)
        if source != target
    }


def judged(norms: NORMS, apart: Tensor | None = None, *, found: int = 99) -> Verdict:
    verdict = pairs(norms, apart, found=found).judge(VerdictConfig())
    assert verdict is not None
    return verdict


def pairs(norms: NORMS, apart: Tensor | None = None, *, found: int = 99) -> Pairs:
    triggers = tuple(
        RecoveredTrigger(target, NOTHING, norm, 1.0, number < found, source)
        for number, ((source, target), norm) in enumerate(norms.items())
    )
    return Pairs(triggers, leads() if apart is None else apart)


def test_pairs_that_differ_as_their_classes_do_are_no_evidence() -> None:
    verdict = judged(sizes())

    assert verdict.level == "none"
    assert verdict.target is None
    assert verdict.source is None
    assert verdict.p_value > 0.2


@pytest.mark.parametrize("classes", [5, 6, 10])
def test_chance_seldom_convicts(classes: int) -> None:
    convicted = [
        judged(
            sizes(classes=classes, noise=0.25, seed=seed), leads(classes=classes)
        ).level
        != "none"
        for seed in range(60)
    ]

    assert sum(convicted) <= 6


def test_one_pair_that_is_far_too_small_is_evidence() -> None:
    norms = sizes()
    norms[1, 5] /= 6

    verdict = judged(norms)

    assert verdict.level != "none"
    assert verdict.kind == "one-to-one"
    assert (verdict.source, verdict.target) == (1, 5)
    assert verdict.index > 5
    assert verdict.p_label is None


def test_a_backdoor_that_narrows_its_margin_is_not_explained_by_it() -> None:
    norms = sizes()
    norms[NEAR] /= 12

    assert judged(norms, leads(near=5)).kind == "one-to-one"


def test_near_classes_need_little_without_a_backdoor() -> None:
    norms = sizes(near=2.0)

    assert judged(norms, leads(near=2.0)).level == "none"
    assert judged(norms, leads(near=2.0)).p_value > 10 * judged(norms).p_value


@pytest.mark.parametrize("found", [0, 20, 31])
def test_nothing_is_said_where_few_pairs_have_a_trigger(found: int) -> None:
    assert pairs(sizes(), found=found).judge(VerdictConfig()) is None


@pytest.mark.parametrize(
    ("classes", "fitted", "held_out", "expected"),
    [(6, 8, 5, 30), (6, 7, 5, 0), (6, 8, 4, 0), (4, 20, 9, 0)],
)
def test_pairs_need_classes_and_images_of_each(
    classes: int, fitted: int, held_out: int, expected: int
) -> None:
    fit, holdout = (
        Samples(
            torch.zeros(classes * each, 1, 4, 4), torch.arange(classes * each) % classes
        )
        for each in (fitted, held_out)
    )

    goals = pairs_of(SplitSamples(fit, holdout, classes))

    assert len(goals) == expected
    assert all(goal.source not in (None, goal.target) for goal in goals)


def test_leads_are_means_of_what_a_logit_leads_by() -> None:
    logits = torch.tensor([[5.0, 1.0, 7.0], [3.0, 3.0, 0.0], [0.0, 4.0, 1.0]])
    some = Samples(logits[:, None, None, :], torch.tensor([0, 0, 1]))

    found = leads_of(nn.Flatten(), some)

    assert found[0, 1].item() == pytest.approx(2.0)
    assert found[0, 2].item() == pytest.approx(1.5)  # one is behind, and counts as 0
    assert found[1].tolist()[::2] == pytest.approx([4.0, 3.0])
