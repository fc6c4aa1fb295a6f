from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

import pytest

from rnp_cli.defense.channels import Channel
from rnp_cli.defense.rank import RankedChannel
from rnp_cli.defense.threshold import (
    Candidate,
    NoSafeThreshold,
    Threshold,
    ThresholdConfig,
    choose_fewest,
    choose_threshold,
)
from rnp_cli.events import Event, StageDone, StageStarted, StepDone

START = 0.95


def ranking(masks: list[float]) -> tuple[RankedChannel, ...]:
    return tuple(
        RankedChannel(channel=Channel("bn", n), rank=n + 1, mask=mask, change=1.0)
        for n, mask in enumerate(masks)
    )


FORTY = ranking([n / 100 for n in range(40)])


def choose(
    accuracy_at: Callable[[int], float],
    *,
    ranked: tuple[RankedChannel, ...] = FORTY,
    confirm: Callable[[int], bool] = lambda pruned: True,
    listen: Callable[[Event], None] = lambda event: None,
    **knobs: Any,
) -> Threshold | NoSafeThreshold:
    config = ThresholdConfig(**knobs)
    return choose_threshold(ranked, accuracy_at, config, confirm=confirm, listen=listen)


def choose_few(
    success_at: Callable[[int], float],
    *,
    accuracy_at: Callable[[int], float] = lambda pruned: START,
    ranked: tuple[RankedChannel, ...] = FORTY,
    confirm: Callable[[int], bool] = lambda pruned: True,
    listen: Callable[[Event], None] = lambda event: None,
    **knobs: Any,
) -> Threshold | NoSafeThreshold:
    return choose_fewest(
        ranked,
        accuracy_at,
        success_at,
        ThresholdConfig(**knobs),
        confirm=confirm,
        listen=listen,
    )


def falls_after(most: int) -> Callable[[int], float]:
    return lambda pruned: START if pruned <= most else 0.1


@pytest.mark.parametrize("most", range(1, 41))
def test_the_last_channel_before_a_cliff_is_the_last_one_pruned(most: int) -> None:
    chosen = choose(falls_after(most))

    assert isinstance(chosen, Threshold)
    assert chosen.pruned == most
    assert chosen.mask == FORTY[most - 1].mask


@pytest.mark.parametrize("seed", range(30))
def test_nothing_tried_is_larger_and_within_the_budget(seed: int) -> None:
    draw = random.Random(seed)
    path = [START, *(START - draw.uniform(-0.01, 0.05) for _ in range(300))]
    ranked = ranking(sorted(draw.random() for _ in range(300)))

    chosen = choose(path.__getitem__, ranked=ranked)

    assert all(path[c.pruned] == c.clean_accuracy for c in chosen.path)
    safe = [c.pruned for c in chosen.path if c.clean_accuracy >= START - 0.02]
    assert isinstance(chosen, Threshold)
    assert chosen.pruned == max(safe)
    assert chosen.mask == ranked[chosen.pruned - 1].mask <= 0.9
    neighbor = chosen.pruned + 1
    known = {c.pruned for c in chosen.path}
    assert neighbor in known or ranked[neighbor - 1].mask > 0.9


def test_a_dip_shorter_than_the_patience_is_crossed() -> None:
    def dips(pruned: int) -> float:
        return 0.5 if 5 <= pruned <= 8 or pruned > 14 else START

    crossed, stopped = choose(dips, patience=5), choose(dips, patience=2)

    assert isinstance(crossed, Threshold)
    assert isinstance(stopped, Threshold)
    assert (crossed.pruned, stopped.pruned) == (14, 4)


def test_the_budget_counts_from_the_models_own_accuracy_and_is_inclusive() -> None:
    accuracy = {0: 0.50, 1: 0.49, 2: 0.48}

    chosen = choose(lambda n: accuracy.get(n, 0.47), max_accuracy_drop=0.02)
    strict = choose(lambda n: accuracy.get(n, 0.47), max_accuracy_drop=0.005)

    assert isinstance(chosen, Threshold)
    assert chosen.pruned == 2
    assert isinstance(strict, NoSafeThreshold)


def test_no_channel_may_be_safe() -> None:
    outcome = choose(falls_after(0))

    assert isinstance(outcome, NoSafeThreshold)
    assert outcome.path[0].clean_accuracy == START
    assert len(outcome.path) > 1


def test_channels_that_recovery_kept_are_never_pruned() -> None:
    ranked = ranking([0.0, 0.1, 0.5, 0.95, 1.0])

    chosen = choose(lambda pruned: START, ranked=ranked)
    careful = choose(lambda pruned: START, ranked=ranked, largest_mask=0.2)
    none = choose(lambda pruned: START, ranked=ranking([1.0, 1.0]))

    assert isinstance(chosen, Threshold)
    assert isinstance(careful, Threshold)
    assert (chosen.pruned, careful.pruned) == (3, 2)
    assert isinstance(none, NoSafeThreshold)


def test_the_next_smaller_is_taken_where_the_second_check_fails() -> None:
    asked: list[int] = []

    def confirm(pruned: int) -> bool:
        asked.append(pruned)
        return pruned <= 7

    chosen = choose(falls_after(10), confirm=confirm)

    assert isinstance(chosen, Threshold)
    assert chosen.pruned == 7
    assert asked == [10, 9, 8, 7]


def test_a_second_check_that_fails_always_leaves_no_safe_threshold() -> None:
    assert isinstance(choose(falls_after(10), confirm=lambda n: False), NoSafeThreshold)


def test_no_candidate_is_scored_twice() -> None:
    asked: list[int] = []

    def accuracy_at(pruned: int) -> float:
        asked.append(pruned)
        return falls_after(25)(pruned)

    choose(accuracy_at)

    assert len(asked) == len(set(asked))


def test_candidates_are_announced() -> None:
    heard: list[Event] = []

    outcome = choose(falls_after(3), listen=heard.append)

    assert heard[0] == StageStarted(stage="prune", total=40)
    steps = [event for event in heard if isinstance(event, StepDone)]
    assert {event.step for event in steps} == {c.pruned for c in outcome.path} - {0}
    assert isinstance(heard[-1], StageDone)


def test_nothing_that_it_takes_could_carry_triggered_data() -> None:
    parameters = inspect.signature(choose_threshold, eval_str=True).parameters

    assert {name: p.annotation for name, p in parameters.items()} == {
        "ranked": inspect.signature(choose_threshold, eval_str=True)
        .parameters["ranked"]
        .annotation,
        "accuracy_at": Callable[[int], float],
        "config": ThresholdConfig,
        "confirm": Callable[[int], bool],
        "listen": Callable[[Event], None],
    }
    assert "Tensor" not in str(parameters["ranked"].annotation)
    fields = inspect.get_annotations(RankedChannel, eval_str=True)
    assert set(fields.values()) <= {Channel, int, float}


def works_until(fewest: int) -> Callable[[int], float]:
    """Triggers turn all samples as long as fewer channels than these are pruned."""
    return lambda pruned: 0.03 if pruned >= fewest else 1.0


@pytest.mark.parametrize("fewest", range(1, 17))
def test_no_channel_is_pruned_beyond_those_that_take_the_triggers_away(
    fewest: int,
) -> None:
    chosen = choose_few(works_until(fewest))

    assert isinstance(chosen, Threshold)
    assert chosen.pruned == fewest
    assert chosen.mask == FORTY[fewest - 1].mask


@pytest.mark.parametrize("fewest", range(17, 41))
def test_among_many_channels_a_sixteenth_more_may_be_pruned(fewest: int) -> None:
    chosen = choose_few(works_until(fewest))

    assert isinstance(chosen, Threshold)
    assert fewest <= chosen.pruned <= fewest + fewest // 16
    assert chosen.mask == FORTY[chosen.pruned - 1].mask


def test_the_path_carries_the_success_where_it_was_measured() -> None:
    success = {1: 0.9, 2: 0.5, 4: 0.1}
    accuracy = {3: 0.5}

    chosen = choose_few(
        success.__getitem__, accuracy_at=lambda n: accuracy.get(n, START)
    )

    assert chosen.path == (
        Candidate(0, START),
        Candidate(1, START, 0.9),
        Candidate(2, START, 0.5),
        Candidate(3, 0.5),
        Candidate(4, START, 0.1),
    )


def test_the_success_that_may_be_left_is_inclusive_and_a_knob() -> None:
    success = [1.0, 0.5, 0.25, 0.0].__getitem__

    half, quarter, none = (
        choose_few(lambda n: success(min(n, 3)), success_left=left)
        for left in (0.5, 0.25, 0.0)
    )

    assert isinstance(half, Threshold)
    assert isinstance(quarter, Threshold)
    assert isinstance(none, Threshold)
    assert (half.pruned, quarter.pruned, none.pruned) == (1, 2, 3)


def test_beyond_the_budget_success_is_not_measured_and_nothing_is_chosen() -> None:
    asked: list[int] = []

    def success_at(pruned: int) -> float:
        asked.append(pruned)
        return works_until(5)(pruned)

    chosen = choose_few(success_at, accuracy_at=lambda n: 0.5 if 4 <= n <= 6 else START)

    assert isinstance(chosen, Threshold)
    assert chosen.pruned == 7
    assert asked == [1, 2, 3, 7]


def test_the_budget_for_the_fewest_is_inclusive_too() -> None:
    accuracy = {0: 0.50, 1: 0.49, 2: 0.48}

    chosen = choose_few(works_until(2), accuracy_at=lambda n: accuracy.get(n, 0.47))
    beyond = choose_few(works_until(3), accuracy_at=lambda n: accuracy.get(n, 0.47))

    assert isinstance(chosen, Threshold)
    assert chosen.pruned == 2
    assert isinstance(beyond, NoSafeThreshold)


def test_the_next_larger_is_taken_where_the_second_check_fails() -> None:
    asked: list[int] = []

    def confirm(pruned: int) -> bool:
        asked.append(pruned)
        return pruned >= 5

    chosen = choose_few(works_until(3), confirm=confirm)

    assert isinstance(chosen, Threshold)
    assert chosen.pruned == 5
    assert asked == [3, 4, 5]


def test_the_search_for_the_fewest_ends_when_its_patience_does() -> None:
    def dips(pruned: int) -> float:
        return 0.5 if 2 <= pruned <= 4 or 6 <= pruned <= 8 else START

    crossed = choose_few(works_until(9), accuracy_at=dips, patience=4)
    stopped = choose_few(works_until(9), accuracy_at=dips, patience=3)

    assert isinstance(crossed, Threshold)
    assert crossed.pruned == 9
    assert isinstance(stopped, NoSafeThreshold)
    assert [c.pruned for c in stopped.path] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "knobs",
    [
        {"success_at": lambda pruned: 0.5},
        {"success_at": lambda pruned: 0.0, "confirm": lambda pruned: False},
        {"success_at": lambda pruned: 0.0, "accuracy_at": falls_after(0)},
    ],
)
def test_where_no_safe_channels_take_the_triggers_away_the_path_is_left(
    knobs: dict[str, Any],
) -> None:
    outcome = choose_few(**knobs)

    assert isinstance(outcome, NoSafeThreshold)
    assert outcome.path[0] == Candidate(0, START)
    assert len(outcome.path) > 8


def test_the_fewest_are_not_sought_among_channels_that_recovery_kept() -> None:
    ranked = ranking([0.0, 0.1, 0.5, 0.95, 1.0])

    assert isinstance(choose_few(works_until(3), ranked=ranked), Threshold)
    assert isinstance(choose_few(works_until(4), ranked=ranked), NoSafeThreshold)
    kept = choose_few(works_until(1), ranked=ranking([1.0, 1.0]))
    assert kept == NoSafeThreshold((Candidate(0, START),))


@pytest.mark.parametrize("fewest", [3, 99])
def test_candidates_for_the_fewest_are_announced(fewest: int) -> None:
    heard: list[Event] = []

    outcome = choose_few(works_until(fewest), listen=heard.append)

    assert heard[0] == StageStarted(stage="prune", total=40)
    assert heard[1:-1] == [
        StepDone(stage="prune", step=c.pruned, clean_accuracy=c.clean_accuracy)
        for c in outcome.path[1:]
    ]
    assert isinstance(heard[-1], StageDone)


def test_the_fewest_are_chosen_by_numbers_alone() -> None:
    parameters = inspect.signature(choose_fewest, eval_str=True).parameters
    others = inspect.signature(choose_threshold, eval_str=True).parameters

    added = {name: p for name, p in parameters.items() if name not in others}
    assert {name: p.annotation for name, p in added.items()} == {
        "success_at": Callable[[int], float]
    }
    for name, other in others.items():
        assert parameters[name].annotation == other.annotation
