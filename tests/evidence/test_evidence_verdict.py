from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from rnp_cli.evidence.inversion import RecoveredTrigger
from rnp_cli.evidence.label import LabelEvidence
from rnp_cli.evidence.triggers.overlay import Overlay
from rnp_cli.evidence.verdict import (
    Verdict,
    VerdictConfig,
    anomaly_indices,
    judge,
)

NEVER = float("inf")
IMAGE = 1024.0  # pixels: the mask of a trigger that was not found
CLEAN = [91, 77, 94, 111, 88, 110, 61, 65, 119, 88]  # a real clean model's masks


def trigger(target: int | None, norm: float) -> RecoveredTrigger:
    nothing = Overlay(torch.zeros(1), torch.zeros(1))
    found = norm < NEVER
    return RecoveredTrigger(target, nothing, norm if found else IMAGE, 1.0, found)


def verdict(
    masks: Sequence[float],
    *,
    free: float = NEVER,
    label: Sequence[float] | None = None,
    counted: int = 100,
) -> Verdict:
    triggers = [trigger(target, norm) for target, norm in enumerate(masks)]
    evidence = None
    if label is not None:
        evidence = LabelEvidence(0, 0.0, tuple(label), counted)
    return judge([*triggers, trigger(None, free)], evidence, VerdictConfig(), seed=0)


def with_mask(target: int, norm: float) -> list[float]:
    return [norm if number == target else mask for number, mask in enumerate(CLEAN)]


def test_masks_of_one_size_are_no_evidence() -> None:
    found = verdict(CLEAN)
    assert (found.level, found.kind, found.target) == ("none", None, None)
    assert found.p_value > 0.05


def test_one_far_smaller_mask_is_strong_evidence() -> None:
    found = verdict(with_mask(4, 6))
    assert (found.level, found.kind, found.target) == ("strong", "all-to-one", 4)


def test_the_size_of_images_does_not_matter() -> None:
    small, large = with_mask(4, 20), [50 * mask for mask in with_mask(4, 20)]
    assert verdict(large).index == pytest.approx(verdict(small).index)
    assert verdict(large).p_value == verdict(small).p_value


def test_both_witnesses_together_say_more_than_one() -> None:
    masks = with_mask(4, 36)
    drawn = [0.02] * 10
    drawn[4] = 0.82
    alone, together = verdict(masks), verdict(masks, label=drawn)
    assert together.p_value < alone.p_value
    drawn[4], drawn[5] = drawn[5], drawn[4]
    assert verdict(masks, label=drawn).p_value > together.p_value


def test_mistakes_alone_can_convict_a_class_whose_mask_is_large() -> None:
    drawn = [0.005] * 10
    drawn[0] = 0.955
    found = verdict(CLEAN, label=drawn)
    assert (found.level, found.kind, found.target) == ("strong", "all-to-one", 0)
    assert found.p_inversion > 0.5
    assert verdict([NEVER] * 10, label=drawn).target == 0


def test_mistakes_that_two_classes_share_convict_neither() -> None:
    """A real clean model: birds and frogs draw .55 and .28 of its new mistakes."""
    drawn = [0.01, 0.01, 0.55, 0.03, 0.03, 0.03, 0.28, 0.02, 0.02, 0.02]
    assert verdict(CLEAN, label=drawn).level == "none"


def test_few_mistakes_are_little_evidence() -> None:
    drawn = [0.0] * 10
    drawn[0] = 1.0
    assert verdict(CLEAN, label=drawn, counted=100).level == "strong"
    assert verdict(CLEAN, label=drawn, counted=4).level == "none"


@pytest.mark.parametrize("classes", [43, 1000])
def test_many_classes_do_not_make_a_middling_share_evidence(classes: int) -> None:
    masks = [80.0 + number % 7 for number in range(classes)]
    drawn = [0.5] + [0.5 / (classes - 1)] * (classes - 1)
    assert verdict(masks, label=drawn).level == "none"
    drawn = [0.99] + [0.01 / (classes - 1)] * (classes - 1)
    assert verdict(masks, label=drawn).level == "strong"


def test_few_masks_and_a_middling_share_are_weak_at_best() -> None:
    masks = [NEVER] * 10
    masks[4], masks[5] = 4, 48
    drawn = [0.03] * 10
    drawn[4] = 0.73
    assert verdict(masks, label=drawn).level == "weak"


def test_a_small_mask_without_a_class_is_all_to_all() -> None:
    found = verdict(CLEAN, free=3)
    assert (found.level, found.kind, found.target) == ("strong", "all-to-all", None)


def test_a_class_of_its_own_is_not_called_all_to_all() -> None:
    found = verdict(with_mask(4, 3), free=4)
    assert (found.kind, found.target) == ("all-to-one", 4)


def test_classes_without_a_trigger_say_nothing() -> None:
    masks = with_mask(4, 6)
    masks[9] = NEVER
    assert verdict(masks).target == 4
    assert verdict([NEVER] * 10).level == "none"


def test_the_only_triggers_found_are_weak_evidence_where_they_are_small() -> None:
    found = verdict([5, *[NEVER] * 9])
    assert (found.level, found.target) == ("weak", 0)
    assert verdict([900, *[NEVER] * 9]).level == "none"
    found = verdict([NEVER] * 10, free=4)
    assert (found.level, found.kind) == ("weak", "all-to-all")


@pytest.mark.parametrize("classes", [2, 3, 43])
def test_any_number_of_classes_can_be_judged(classes: int) -> None:
    masks = [80.0 + number % 7 for number in range(classes)]
    assert verdict(masks).level == "none"
    masks[1] = 0.5
    assert verdict(masks).target == 1


def test_two_classes_cannot_make_evidence_strong() -> None:
    """A clean detector of defects turns everything to "defect" with a small mask."""
    assert verdict([4, 48]).level == "weak"


def test_chance_is_seldom_called_evidence() -> None:
    generator = torch.Generator().manual_seed(0)
    logs = 4 + 0.3 * torch.randn(200, 10, generator=generator)
    levels = [verdict(row.exp().tolist()).level for row in logs]
    assert levels.count("none") > 180
    assert levels.count("strong") <= 2


def test_every_class_has_the_index_that_the_verdict_weighs() -> None:
    masks = with_mask(4, 6)
    masks[9] = NEVER
    triggers = [trigger(target, norm) for target, norm in enumerate(masks)]

    indices = anomaly_indices([*triggers, trigger(None, 3)], VerdictConfig())

    assert set(indices) == set(range(9))
    assert max(indices, key=indices.__getitem__) == 4
    assert indices[4] == verdict(masks).index
    assert anomaly_indices(triggers[:1], VerdictConfig()) == {}
