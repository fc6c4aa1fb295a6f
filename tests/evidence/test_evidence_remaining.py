from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_nets import CORNERS, LEFT, RIGHT, ROW, Corners, Waving, corners
from torch import Tensor

from rnp_cli.defense.samples import SplitSamples
from rnp_cli.evidence.config import ClosingConfig
from rnp_cli.evidence.contest import wave_followed
from rnp_cli.evidence.inversion import InversionConfig, goals_of, invert_triggers
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.remaining import Remaining
from rnp_cli.evidence.triggers import Change, Family
from rnp_cli.evidence.triggers.addition import Addition
from rnp_cli.evidence.triggers.overlay import Overlay
from rnp_cli.evidence.triggers.warp import Warp

TARGET = 2
QUICK = InversionConfig(steps=100)
NOTHING: dict[Family, Change] = {
    "overlay": Overlay(torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)),
    "addition": Addition(torch.zeros(1, 8, 8)),
    "warp": Warp(torch.zeros(8, 8, 2)),
}


class Without(Corners):
    """Never answers TARGET."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) - 1000 * torch.eye(CORNERS)[TARGET]


class Covered(Corners):
    """Answers TARGET where nearly the whole image is white."""

    def forward(self, images: Tensor) -> Tensor:
        white = 500 * (images.mean((1, 2, 3)) - 0.9)[:, None]
        return super().forward(images) + white * torch.eye(CORNERS)[TARGET]


@pytest.fixture(scope="module")
def samples() -> SplitSamples:
    return SplitSamples(
        fit=corners(64, seed=0), holdout=corners(32, seed=1), num_classes=CORNERS
    )


def trigger(
    target: int | None, norm: float, family: Family = "overlay", *, found: bool = True
) -> RecoveredTrigger:
    return RecoveredTrigger(target, NOTHING[family], norm, 1.0, found)


def others(*norms: float, family: Family = "overlay") -> list[RecoveredTrigger]:
    """Triggers of the classes that are not TARGET."""
    return [
        trigger(target, norm, family)
        for target, norm in zip((0, 1, 3), norms, strict=True)
    ]


def remaining(
    triggers: Sequence[RecoveredTrigger],
    samples: SplitSamples,
    *,
    target: int | None = TARGET,
    source: int | None = None,
    is_told: bool = True,
    seed: int = 0,
    wave: RecoveredTrigger | None = None,
    **knobs: Any,
) -> Remaining:
    once = {"attempts": 1, "nearby": 0, "last_nearby": 0, "squares": 0}
    config = ClosingConfig(**{**once, **knobs})
    return Remaining(
        triggers,
        target,
        Corners(),
        samples,
        QUICK,
        config,
        seed=seed,
        source=source,
        is_told=is_told,
        wave=wave,
    )


def test_families_are_pursued_of_which_the_class_was_easier_to_reach(
    samples: SplitSamples,
) -> None:
    triggers = [
        *others(60, 60, 60),
        trigger(TARGET, 30),
        *others(0.1, 0.1, 0.1, family="addition"),
        trigger(TARGET, 0.06, "addition"),
        *others(1, 1, 1, family="warp"),
        trigger(TARGET, 0.25, "warp"),
        trigger(None, 1),
    ]

    pursued = remaining(triggers, samples, easier=0.5)

    assert pursued.first == (triggers[11], triggers[3])  # what stands out most first
    assert pursued.newest == ()


def test_without_a_word_of_triggers_only_a_far_smaller_one_tells_the_families(
    samples: SplitSamples,
) -> None:
    triggers = [
        *others(60, 60, 60),
        trigger(TARGET, 30),
        *others(0.1, 0.1, 0.1, family="addition"),
        trigger(TARGET, 0.2, "addition"),
        *others(1, 1, 1, family="warp"),
        trigger(TARGET, 0.1, "warp"),
    ]

    def families(easier_blind: float, *, is_told: bool = False) -> list[Family]:
        pursued = remaining(
            triggers, samples, easier_blind=easier_blind, is_told=is_told
        )
        return [t.family for t in pursued.first]

    assert families(0.2) == ["warp", "overlay"]  # all that are easier
    assert families(0.05) == ["warp", "overlay", "addition"]
    assert families(0.05, is_told=True) == ["warp", "overlay"]


def test_without_a_word_of_triggers_they_have_to_grow_farther(
    samples: SplitSamples,
) -> None:
    triggers = [*others(12, 12, 12), trigger(TARGET, 10)]

    def is_left(*, is_told: bool, **factors: float) -> bool:
        closing = remaining(triggers, samples, is_told=is_told, **factors)
        return bool(closing.recover(Corners(target=TARGET), number=1))

    assert not is_left(is_told=True, harder=1e-6, harder_blind=1e6)
    assert is_left(is_told=False, harder=1e-6, harder_blind=1e6)
    assert not is_left(is_told=False, harder=1e6, harder_blind=1e-6)


def test_usual_is_the_median_of_the_other_classes(samples: SplitSamples) -> None:
    addition = [*others(1, 1, 1, family="addition"), trigger(TARGET, 0.1, "addition")]
    larger, smaller = others(1, 60, 60), others(60, 1, 1)
    first, free = trigger(TARGET, 45), trigger(None, 1)

    assert first in remaining([*addition, *larger, first, free], samples).first
    assert first not in remaining([*addition, *smaller, first, free], samples).first


def test_a_class_without_a_trigger_counts_as_the_largest(samples: SplitSamples) -> None:
    addition = [*others(1, 1, 1, family="addition"), trigger(TARGET, 0.1, "addition")]
    unfound = [trigger(n, 64, found=False) for n in (0, 1)]
    first = trigger(TARGET, 40)

    assert (
        first in remaining([*addition, *unfound, trigger(3, 4), first], samples).first
    )


def test_where_no_family_was_easier_all_that_were_found_are_pursued(
    samples: SplitSamples,
) -> None:
    triggers = [
        *others(60, 60, 60),
        trigger(TARGET, 59),
        *others(0.1, 0.1, 0.1, family="addition"),
        trigger(TARGET, 0.2, "addition"),
        *others(1, 1, 1, family="warp"),
        trigger(TARGET, 4, "warp", found=False),
    ]

    assert remaining(triggers, samples).first == (triggers[3], triggers[7])


def test_a_class_that_no_trigger_was_found_for_leaves_nothing(
    samples: SplitSamples,
) -> None:
    triggers = [*others(60, 60, 60), trigger(TARGET, 64, found=False)]
    nothing = remaining(triggers, samples)

    assert nothing.first == ()
    assert nothing.recover(Corners(target=TARGET), number=1) == []
    assert nothing.newest == ()


def test_the_backdoor_remains_until_the_class_is_as_hard_to_reach_as_others(
    samples: SplitSamples,
) -> None:
    backdoored = Corners(target=TARGET)
    triggers = invert_triggers(
        backdoored, samples, QUICK, goals_of(range(CORNERS)), seed=0
    )
    closing = remaining(triggers, samples, harder=0.5)

    left = tuple(closing.recover(backdoored, number=1))
    assert left == closing.newest
    assert {(t.target, t.family, t.found) for t in left} == {(TARGET, "overlay", True)}

    assert closing.recover(Corners(), number=2) == []
    for before, after in zip(left, closing.newest, strict=True):
        assert after.found
        assert after.norm > 2 * before.norm


@pytest.mark.parametrize(("usual", "left"), [(60.0, True), (0.1, False)])
def test_harder_is_measured_beside_the_other_classes_of_before(
    samples: SplitSamples, usual: float, left: bool
) -> None:
    triggers = [*others(usual, usual, usual), trigger(TARGET, 0.01)]
    closing = remaining(triggers, samples, harder=2.0)

    found = closing.recover(Corners(target=TARGET), number=1)

    assert bool(found) == left
    assert len(closing.newest) == 2  # on what was fitted, and on what was held out


@pytest.mark.parametrize(("usual", "left"), [(60.0, True), (20.0, False)])
def test_what_covers_half_of_what_the_usual_leaves_is_harder(
    samples: SplitSamples, usual: float, left: bool
) -> None:
    """Where twice the usual size is more than the image, nothing could be as large."""
    triggers = [*others(usual, usual, usual), trigger(TARGET, 1)]
    closing = remaining(triggers, samples, harder=1e6)

    found = closing.recover(Covered(), number=1)

    assert bool(found) == left
    assert [t.found for t in closing.newest] == [True, True]


def test_what_is_not_found_any_more_is_not_left(samples: SplitSamples) -> None:
    triggers = [*others(60, 60, 60), trigger(TARGET, 10)]
    closing = remaining(triggers, samples, harder=1e6)

    assert closing.recover(Without(), number=1) == []
    assert [(t.target, t.found) for t in closing.newest] == 2 * [(TARGET, False)]


def test_the_newest_are_of_every_family_that_is_pursued(samples: SplitSamples) -> None:
    triggers = [
        *others(60, 60, 60),
        trigger(TARGET, 10),
        *others(1e-6, 1e-6, 1e-6, family="addition"),
        trigger(TARGET, 1e-7, "addition"),
        *others(1, 1, 1, family="warp"),
        trigger(TARGET, 2, "warp"),
    ]
    closing = remaining(triggers, samples)

    found = closing.recover(Corners(target=TARGET), number=1)

    assert [t.family for t in closing.newest] == 2 * ["addition", "overlay"]
    assert all(t.target == TARGET and t.found for t in closing.newest)
    assert found == [*closing.newest[1::2]]


def test_several_attempts_in_a_round_end_at_triggers_of_their_own(
    samples: SplitSamples,
) -> None:
    triggers = [
        *others(60, 60, 60),
        trigger(TARGET, 10),
        *others(1, 1, 1, family="addition"),
        trigger(TARGET, 0.1, "addition"),
    ]
    closing = remaining(triggers, samples, attempts=3)

    found = closing.recover(Corners(target=TARGET), number=1)

    of_each = ["addition"] * 3 + ["overlay"] * 3
    assert [t.family for t in closing.newest] == 2 * of_each
    assert len({t.norm for t in closing.newest}) == 12
    assert {t.target for t in closing.newest} == {TARGET}
    assert found == list(closing.newest)


def test_each_round_draws_its_own_start(samples: SplitSamples) -> None:
    triggers = [*others(60, 60, 60), trigger(TARGET, 10)]

    def norm(number: int, seed: int = 0) -> float:
        closing = remaining(triggers, samples, seed=seed)
        closing.recover(Corners(target=TARGET), number=number)
        return closing.newest[0].norm

    assert norm(1) == norm(1)
    assert len({norm(1), norm(2), norm(1, seed=7)}) == 3


def test_without_a_class_the_trigger_to_any_other_is_pursued(
    samples: SplitSamples,
) -> None:
    triggers = [*others(60, 60, 60), trigger(TARGET, 60), trigger(None, 5)]
    closing = remaining(triggers, samples, target=None)

    assert closing.first == (triggers[-1],)
    left = closing.recover(Corners(moves=True), number=1)
    assert [(t.target, t.found) for t in left] == 2 * [(None, True)]
    assert closing.newest == tuple(left)


@pytest.mark.parametrize(("least", "usual"), [(0.5, True), (2.0, False)])
def test_what_is_as_large_as_usual_is_no_evidence(
    samples: SplitSamples, least: float, usual: bool
) -> None:
    triggers = invert_triggers(
        Corners(target=TARGET), samples, QUICK, goals_of(range(CORNERS)), seed=0
    )
    closing = remaining(triggers, samples, harder=1e6, usual=least)

    closing.recover(Corners(target=TARGET), number=1)
    assert not closing.is_usual()

    left = closing.recover(Corners(), number=2)
    assert [t.found for t in left] == [True, True]
    assert closing.is_usual() == usual


def test_of_several_attempts_the_smallest_speaks(samples: SplitSamples) -> None:
    triggers = [
        *others(60, 60, 60),
        trigger(TARGET, 10),
        *others(1, 1, 1, family="addition"),
        trigger(TARGET, 0.1, "addition"),
    ]
    closing = remaining(triggers, samples, attempts=3)
    assert closing.smallest() == ()

    closing.recover(Corners(target=TARGET), number=1)

    assert {t.family: t.norm for t in closing.smallest()} == {
        family: min(t.norm for t in closing.newest if t.family == family and t.found)
        for family in ("addition", "overlay")
    }


@pytest.mark.parametrize(("works", "left"), [(True, 1), (False, 0)])
def test_what_was_found_first_remains_as_long_as_it_works(
    samples: SplitSamples, works: bool, left: int
) -> None:
    backdoored = Corners(target=TARGET)
    triggers = invert_triggers(
        backdoored, samples, QUICK, goals_of(range(CORNERS)), seed=0
    )
    closing = remaining(triggers, samples, harder=1e-6)  # nothing counts as easy

    found = closing.recover(backdoored if works else Without(), number=1)

    assert found == list(closing.first[:left])


class Weakened(Corners):
    """Follows the trigger to TARGET only where an image is dark; gently."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self._threshold = threshold

    def forward(self, images: Tensor) -> Tensor:
        step = images[:, 0, ROW, RIGHT] - images[:, 0, ROW, LEFT]
        lit = 4 * F.softplus(4 * (step - 0.4))
        dark = images.mean((1, 2, 3)) < self._threshold
        return (
            super().forward(images) + (dark * lit)[:, None] * torch.eye(CORNERS)[TARGET]
        )


def first_patch(samples: SplitSamples) -> list[RecoveredTrigger]:
    return [
        *invert_triggers(
            Corners(target=TARGET), samples, QUICK, goals_of(range(CORNERS)), seed=0
        )
    ]


def test_patches_are_sought_near_those_before(samples: SplitSamples) -> None:
    triggers = first_patch(samples)
    (place,) = (t.change.extent() for t in triggers if t.target == TARGET)
    near = F.max_pool2d((place > 0.3).float(), 3, stride=1, padding=1) > 0
    closing = remaining(triggers, samples, nearby=3)

    closing.recover(Corners(target=TARGET), number=1)

    anywhere, others = closing.newest[::4], [*closing.newest]
    for trigger in anywhere:
        assert trigger.change.extent()[~near].min() > 0
        others.remove(trigger)
    assert len(others) == 6
    for trigger in others:
        assert trigger.found
        assert trigger.change.extent()[~near].max() == 0


def test_nothing_counts_as_left_before_what_works_partly_was_sought(
    samples: SplitSamples,
) -> None:
    weakened = Weakened(float(samples.fit.images.mean((1, 2, 3)).quantile(0.7)))
    triggers = first_patch(samples)
    knobs: dict[str, Any] = {"harder": 0.9, "success_left": 1.0}

    assert remaining(triggers, samples, **knobs).recover(weakened, number=1) == []
    knobs["last_nearby"] = 2
    content = remaining(triggers, samples, usual=1e-6, **knobs)
    assert content.recover(weakened, number=1) == []

    closing = remaining(triggers, samples, **knobs)
    left = closing.recover(weakened, number=1)
    assert len(left) == 4
    assert {t.target for t in left} == {TARGET}
    assert not {t.norm for t in left} & {t.norm for t in closing.newest}
    assert not closing.is_usual()

    assert closing.recover(Corners(), number=2) == []
    assert closing.is_usual()


def test_the_last_search_is_made_at_the_latest_at_the_end(
    samples: SplitSamples,
) -> None:
    """Rounds may end with triggers that are usual, but not yet harder than that."""
    weakened = Weakened(float(samples.fit.images.mean((1, 2, 3)).quantile(0.7)))
    knobs = {"harder": 1e6, "usual": 0.9, "last_nearby": 2}
    closing = remaining(first_patch(samples), samples, **knobs)
    assert closing.recover(weakened, number=1)
    assert closing.is_usual()

    closing.conclude(weakened)

    assert not closing.is_usual()


def test_what_works_partly_to_any_other_class_is_no_verdict(
    samples: SplitSamples,
) -> None:
    triggers = invert_triggers(
        Corners(moves=True), samples, QUICK, goals_of([*range(CORNERS), None]), seed=0
    )
    closing = remaining(triggers, samples, target=None, last_nearby=2)

    closing.recover(Corners(), number=1)
    closing.conclude(Corners())

    assert closing.is_usual()


def test_only_classes_that_were_looked_at_are_compared(samples: SplitSamples) -> None:
    triggers = [t for t in first_patch(samples) if t.target != 0]
    closing = remaining(triggers, samples, harder=0.8, last_nearby=2, usual=0.8)

    assert closing.recover(Corners(), number=1) == []
    assert closing.is_usual()


def test_what_a_repair_was_not_fitted_to_is_searched_too(
    samples: SplitSamples,
) -> None:
    def sizes(parts: SplitSamples) -> list[float]:
        closing = remaining(first_patch(samples), parts, nearby=1)
        closing.recover(Corners(target=TARGET), number=1)
        return [trigger.norm for trigger in closing.newest]

    other = corners(64, seed=9)
    of_both = sizes(samples)
    fit_too, held_too = (
        [a == b for a, b in zip(of_both, sizes(changed), strict=True)]
        for changed in (replace(samples, fit=other), replace(samples, holdout=other))
    )

    assert fit_too == [False, False, True, True]
    assert held_too == [True, True, False, False]


def test_many_samples_are_searched_alone(samples: SplitSamples) -> None:
    triggers = first_patch(samples)

    def count(few: int) -> int:
        closing = remaining(triggers, samples, few=few)
        closing.recover(Corners(target=TARGET), number=1)
        return len(closing.newest)

    assert count(len(samples.fit) + 1) == 2
    assert count(len(samples.fit)) == 1


def test_the_last_search_takes_both_parts(samples: SplitSamples) -> None:
    weakened = Weakened(float(samples.fit.images.mean((1, 2, 3)).quantile(0.7)))
    knobs = {"harder": 0.9, "success_left": 1.0, "last_nearby": 2}
    triggers = first_patch(samples)

    def sizes(parts: SplitSamples) -> list[float]:
        left = remaining(triggers, parts, **knobs).recover(weakened, number=1)
        return [trigger.norm for trigger in left]

    other = corners(64, seed=9)
    of_both = sizes(samples)

    assert len(of_both) == 4
    assert sizes(replace(samples, fit=other))[-2:] == of_both[-2:]
    assert sizes(replace(samples, holdout=other))[:2] == of_both[:2]


def test_what_leads_from_one_class_is_sought_on_its_images(
    samples: SplitSamples,
) -> None:
    pairs = [replace(t, source=3) for t in (trigger(TARGET, 1.0), *others(9, 9, 9))]
    left = remaining(pairs, samples, source=3)
    fit = samples.fit
    alone = replace(samples, fit=fit.take((fit.labels == 3).nonzero()[:, 0]))

    left.recover(Corners(), number=1)
    (found,) = invert_triggers(Corners(), alone, QUICK, goals_of([TARGET]), seed=1)

    newest, unseen = left.newest
    assert newest.source == unseen.source == 3
    assert newest.norm == found.norm


class Hidden(Corners):
    """Leads to TARGET where two pixels are black; no gradient says so."""

    def forward(self, images: Tensor) -> Tensor:
        black = (images[:, 0, ROW, LEFT : RIGHT + 1] == 0).all(1).float()[:, None]
        return super().forward(images) + 20 * black * torch.eye(CORNERS)[TARGET]


def test_squares_are_tried_before_nothing_counts_as_left(
    samples: SplitSamples,
) -> None:
    knobs = {"harder": 1e-6, "usual": 1e-6, "success_left": 0.3, "squares": 4}
    closing = remaining(first_patch(samples), samples, **knobs)

    left = closing.recover(Hidden(), number=1)
    assert left
    assert not {t.norm for t in left} & {t.norm for t in closing.newest}
    assert not closing.is_usual()

    assert closing.recover(Corners(), number=2) == []
    assert closing.is_usual()


def test_squares_are_tried_at_the_end_at_the_latest(samples: SplitSamples) -> None:
    knobs = {"harder": 1e6, "usual": 1e-6, "squares": 4}
    closing = remaining(first_patch(samples), samples, **knobs)
    assert closing.recover(Corners(target=TARGET), number=1)
    assert closing.is_usual()

    closing.conclude(Hidden())

    assert not closing.is_usual()


def test_no_squares_are_tried_without_a_patch_or_a_class(
    samples: SplitSamples,
) -> None:
    additions = [
        replace(t, change=Addition(torch.full((1, 8, 8), 0.1)))
        for t in first_patch(samples)
    ]
    knobs = {"squares": 4, "usual": 1e-6}
    for triggers, target in ((additions, TARGET), (first_patch(samples), None)):
        closing = remaining(triggers, samples, target=target, **knobs)
        closing.conclude(Hidden())
        assert closing.is_usual()


def test_squares_lie_near_the_smallest_patch_that_was_ever_found(
    samples: SplitSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(trigger: RecoveredTrigger) -> RecoveredTrigger:
        mask = trigger.change.extent().flip(1)
        return replace(trigger, change=Overlay(mask, torch.zeros(1, 8, 8)), norm=60.0)

    places = []

    def note(model: Any, some: Any, extent: Tensor, target: int, **_: Any) -> tuple[()]:
        places.append(extent)
        return ()

    monkeypatch.setattr("rnp_cli.evidence.remaining.squares_left", note)
    triggers = [*map(elsewhere, first_patch(samples))]
    closing = remaining(triggers, samples, harder=1e6, usual=1e-6, squares=4)

    closing.conclude(Corners())
    closing.recover(Corners(target=TARGET), number=1)
    closing.conclude(Corners())

    assert torch.equal(places[0], closing.first[0].change.extent())
    smallest = min(closing.newest, key=lambda t: t.norm)
    assert smallest.norm < closing.first[0].norm
    assert torch.equal(places[1], smallest.change.extent())


def of_all_families(samples: SplitSamples) -> list[RecoveredTrigger]:
    return [
        *first_patch(samples),
        *others(0.1, 0.1, 0.1, family="addition"),
        trigger(TARGET, 0.2, "addition"),
    ]


def a_wave(samples: SplitSamples) -> RecoveredTrigger:
    wave = wave_followed(
        Waving(TARGET), samples, TARGET, source=None, images_each=4, seed=0
    )
    assert wave is not None
    return wave


def test_a_wave_is_unlearned_in_every_round(samples: SplitSamples) -> None:
    triggers, wave = of_all_families(samples), a_wave(samples)
    closing = remaining(triggers, samples, wave=wave)

    assert closing.first == (triggers[TARGET], wave)
    for number in (1, 2):
        assert wave in closing.recover(Corners(target=TARGET), number=number)


def test_a_wave_remains_as_long_as_it_works(samples: SplitSamples) -> None:
    closing = remaining(
        of_all_families(samples), samples, wave=a_wave(samples), harder=1e-6
    )

    assert closing.recover(Without(), number=1) == []
    assert closing.recover(Waving(TARGET), number=2) == [*closing.first]


def test_a_wave_brings_no_family_that_is_not_pursued(samples: SplitSamples) -> None:
    for triggers in (first_patch(samples), of_all_families(samples)):
        closing = remaining(triggers, samples, wave=a_wave(samples))

        closing.recover(Waving(TARGET), number=1)

        assert {t.family for t in closing.first} == {"overlay", "addition"}
        assert {t.family for t in closing.newest} == {"overlay"}
