from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from rnp_cli.evidence import chance
from rnp_cli.evidence.chance import anomaly_indices
from rnp_cli.evidence.label import LabelEvidence
from rnp_cli.evidence.margin import Margins
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.triggers import Change, Family
from rnp_cli.evidence.triggers.addition import Addition
from rnp_cli.evidence.triggers.overlay import Overlay
from rnp_cli.evidence.triggers.warp import Warp
from rnp_cli.evidence.verdict import (
    Level,
    Verdict,
    VerdictConfig,
    combined,
    judge,
)

NEVER = float("inf")
IMAGE = 1024.0  # pixels: the mask of a trigger that was not found
CLEAN = [91, 77, 94, 111, 88, 110, 61, 65, 119, 88]  # a real clean model's masks


NOTHING: dict[Family, Change] = {
    "overlay": Overlay(torch.zeros(1), torch.zeros(1)),
    "addition": Addition(torch.zeros(1)),
    "warp": Warp(torch.zeros(1)),
}


def trigger(
    target: int | None, norm: float, family: Family = "overlay"
) -> RecoveredTrigger:
    found = norm < NEVER
    norm = norm if found else IMAGE
    return RecoveredTrigger(target, NOTHING[family], norm, 1.0, found)


def verdict(
    masks: Sequence[float],
    *,
    free: float = NEVER,
    additions: Sequence[float] = (),
    warps: Sequence[float] = (),
    label: Sequence[float] | None = None,
    counted: int = 100,
) -> Verdict:
    sizes: dict[Family, Sequence[float]] = {
        "overlay": masks,
        "addition": additions,
        "warp": warps,
    }
    triggers = [
        trigger(target, norm, family)
        for family, norms in sizes.items()
        for target, norm in enumerate(norms)
    ]
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


def margins(target: int, value: float) -> Margins:
    usual = (4.8, 4.1, 4.5, 4.2, 4.3, 4.9, 3.9, 4.4, 4.6, 4.0)
    values = (value if n == target else v for n, v in enumerate(usual))
    return Margins(tuple(range(10)), tuple(values))


def test_a_far_wider_margin_convicts_alone() -> None:
    found = judge((), None, VerdictConfig(), seed=0, margins=margins(7, 20.0))

    assert (found.level, found.kind, found.target) == ("strong", "all-to-one", 7)
    assert found.p_margin is not None
    assert found.p_margin < 0.001
    assert (found.p_inversion, found.p_label) == (1.0, None)
    usual = judge((), None, VerdictConfig(), seed=0, margins=margins(7, 4.4))
    assert (usual.level, usual.target) == ("none", None)
    assert usual.p_margin is not None
    assert usual.p_margin > 0.2


def test_a_margin_that_another_witness_confirms_says_more() -> None:
    def told(label: int, value: float) -> Verdict:
        shares = tuple(0.55 if n == label else 0.05 for n in range(10))
        evidence = LabelEvidence(label, 0.55, shares, 100)
        wide = margins(7, value)
        return judge((), evidence, VerdictConfig(), seed=0, margins=wide)

    assert told(7, 8.0).target == 7
    assert told(7, 8.0).p_value < told(2, 8.0).p_value
    assert told(7, 8.0).p_value < told(7, 4.4).p_value
    alone = judge((), None, VerdictConfig(), seed=0, margins=margins(7, 8.0))
    assert told(7, 8.0).p_margin == alone.p_margin


def test_a_class_whose_margin_is_not_known_is_not_cleared_by_it() -> None:
    triggers = [trigger(n, size) for n, size in enumerate(with_mask(4, 6))]
    known = margins(0, 4.4)
    without = Margins(known.targets[5:], known.values[5:])

    found = judge(triggers, None, VerdictConfig(), seed=0, margins=without)

    assert (found.level, found.target, found.p_margin) == ("strong", 4, None)


@pytest.mark.parametrize("reached", [2, 3, 4])
def test_margins_of_few_classes_that_are_reached_say_nothing(reached: int) -> None:
    values = (20.0, *(1.0,) * (reached - 1), *(-1.0,) * (10 - reached))
    few = Margins(tuple(range(10)), values)

    found = judge((), None, VerdictConfig(), seed=0, margins=few)

    assert (found.level, found.p_margin) == ("none", None)


def test_a_class_that_is_barely_reached_does_not_hide_a_wide_margin() -> None:
    hidden = margins(7, 40.0)
    values = (1e-4, *hidden.values[1:])

    found = judge(
        (), None, VerdictConfig(), seed=0, margins=Margins(hidden.targets, values)
    )

    assert (found.level, found.target) == ("strong", 7)


def test_both_witnesses_together_say_more_than_one() -> None:
    masks = with_mask(4, 36)
    drawn = [0.02] * 10
    drawn[4] = 0.82
    alone, together = verdict(masks), verdict(masks, label=drawn)
    assert together.p_value < alone.p_value
    drawn[4], drawn[5] = drawn[5], drawn[4]
    assert verdict(masks, label=drawn).p_value > together.p_value


def test_mistakes_alone_can_convict_a_class_whose_mask_is_large() -> None:
    drawn = [0.003] * 10
    drawn[0] = 0.973
    found = verdict(CLEAN, label=drawn)
    assert (found.level, found.kind, found.target) == ("strong", "all-to-one", 0)
    assert found.p_inversion > 0.5
    assert verdict([NEVER] * 10, label=drawn).target == 0


@pytest.mark.parametrize(("share", "level"), [(0.973, "strong"), (0.3, "none")])
def test_mistakes_are_weighed_where_no_trigger_was_sought(
    share: float, level: Level
) -> None:
    drawn = [(1 - share) / 9] * 10
    drawn[3] = share
    label = LabelEvidence(3, share, tuple(drawn), 100)

    alone = judge((), label, VerdictConfig(), seed=0)

    assert alone.level == level
    assert alone.target == (3 if level == "strong" else None)
    assert alone.p_inversion == 1
    with_triggers = verdict([30.0] * 10, label=drawn)
    assert with_triggers.p_value <= alone.p_value


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


FAINT = [mask / 1000 for mask in CLEAN]  # additions and warps have units of their own


def with_faint(target: int, share: float) -> list[float]:
    """Sizes like FAINT, but for the target only this share."""
    return [
        share * size if number == target else size for number, size in enumerate(FAINT)
    ]


@pytest.mark.parametrize("family", ["addition", "warp"])
def test_a_family_is_evidence_where_the_masks_are_none(family: Family) -> None:
    sizes = {f"{family}s": with_faint(7, 0.05)}

    found = verdict(CLEAN, **sizes)

    assert (found.level, found.kind, found.target) == ("strong", "all-to-one", 7)
    assert found.family == family


def test_sizes_are_held_only_against_those_of_their_own_family() -> None:
    assert verdict(CLEAN, additions=FAINT).level == "none"
    mixed = verdict([*CLEAN[:9], NEVER], additions=[NEVER] * 9 + [0.001])
    assert mixed.level == "none"


def test_the_more_families_are_asked_the_less_each_says() -> None:
    masks = with_mask(4, 30)
    one = verdict(masks)
    two = verdict(masks, additions=FAINT)
    three = verdict(masks, additions=FAINT, warps=FAINT)

    assert one.target == two.target == three.target == 4
    assert one.index == two.index == three.index
    assert two.p_inversion == pytest.approx(2 * one.p_inversion)
    assert three.p_inversion == pytest.approx(3 * one.p_inversion)
    assert three.p_value == three.p_inversion


def test_families_together_never_say_more_than_certain() -> None:
    found = verdict(CLEAN, additions=FAINT, warps=FAINT)
    assert found.p_inversion <= 1
    assert found.p_value <= 1


def test_families_that_found_nothing_to_compare_are_not_counted() -> None:
    lone = [NEVER] * 9 + [0.001]
    alone = verdict(with_mask(4, 36))
    beside = verdict(with_mask(4, 36), additions=[NEVER] * 10, warps=lone)
    assert beside == alone


@pytest.mark.parametrize("family", ["addition", "warp"])
def test_a_lone_trigger_that_is_no_overlay_says_nothing(family: Family) -> None:
    """No warp reaches most classes of a clean model, however far it may go."""
    lone = [NEVER] * 4 + [0.001] + [NEVER] * 5
    sizes = {f"{family}s": lone}

    assert verdict([NEVER] * 10, **sizes).level == "none"
    assert verdict(CLEAN, **sizes).level == "none"
    assert verdict([5, *[NEVER] * 9]).level == "weak"  # an overlay does


def test_mistakes_count_beside_the_family_that_says_most() -> None:
    drawn = [0.02] * 10
    drawn[7] = 0.82
    sizes = with_faint(7, 0.4)

    alone = verdict(CLEAN, additions=sizes)
    together = verdict(CLEAN, additions=sizes, label=drawn)

    assert (together.target, together.family) == (7, "addition")
    assert together.p_inversion <= alone.p_inversion
    assert together.p_value < min(alone.p_value, verdict(CLEAN, label=drawn).p_value)


def test_the_trigger_without_a_class_is_held_against_its_own_family() -> None:
    found = verdict(CLEAN, free=3, additions=FAINT, warps=FAINT)
    assert (found.kind, found.family) == ("all-to-all", "overlay")
    larger = [1000 * mask for mask in CLEAN]
    for additions in (FAINT, larger):
        assert verdict(CLEAN, free=80, additions=additions).level == "none"


def test_three_families_seldom_call_chance_evidence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chance, "_DRAWS", 10_000)  # enough, and quick
    generator = torch.Generator().manual_seed(0)
    logs = 4 + 0.3 * torch.randn(150, 3, 10, generator=generator)
    levels = [
        verdict(masks, additions=additions, warps=warps).level
        for masks, additions, warps in logs.exp().tolist()
    ]
    assert levels.count("none") > 135
    assert levels.count("strong") <= 2


def test_witnesses_that_say_nothing_are_believed_as_seldom_as_they_claim() -> None:
    """By chance two p-values below t both name the same class once in ten times."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(20_000, 2, generator=generator).tolist()
    agree = (torch.rand(20_000, generator=generator) < 0.1).tolist()

    def told(sizes: float, label: float, same: bool) -> float:
        if same:
            return combined(sizes, label, 10)
        return min(combined(sizes, 1.0, 10), combined(1.0, label, 10))

    told_p = torch.tensor(
        [told(*pair, same) for pair, same in zip(drawn, agree, strict=True)]
    )
    for level in (0.01, 0.05, 0.2):
        share = (told_p <= level).double().mean().item()
        assert share == pytest.approx(level, rel=0.15)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_two_witnesses_are_never_surer_than_certain(classes: int) -> None:
    assert combined(1.0, 1.0, classes) == 1
    assert combined(0.9, 0.9, classes) <= 1
    assert combined(1e-4, 1e-4, classes) < combined(1e-4, 1.0, classes)
