from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tiny_nets import is_finite, same_state, snapshot
from torch import Tensor, nn

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import clean_accuracy
from rnp_cli.defense.unlearn import (
    Epoch,
    UnlearnConfig,
    Unlearned,
    unlearn,
    unlearn_half,
)
from rnp_cli.errors import DefenseFailed, ExitCode
from rnp_cli.events import Event, StageDone, StageStarted, StepDone

NONE = Augmentation()


def unlearned(
    model: nn.Module,
    samples: SplitSamples,
    *,
    seed: int = 0,
    augmentation: Augmentation = NONE,
    listen: Any = lambda event: None,
    **knobs: Any,
) -> Unlearned:
    config = UnlearnConfig(**knobs)
    return unlearn(
        model, samples, config, augmentation=augmentation, seed=seed, listen=listen
    )


def test_each_accepted_epoch_is_shown_with_its_model(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    shown = []

    def watch(model: nn.Module, epoch: Epoch) -> None:
        shown.append(epoch)
        assert clean_accuracy(model, samples.holdout) == epoch.clean_accuracy

    config = UnlearnConfig()
    found = unlearn(skilled, samples, config, augmentation=NONE, seed=0, watch=watch)

    assert tuple(shown) == found.history


def test_clean_accuracy_falls_to_the_floor(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    assert clean_accuracy(skilled, samples.holdout) > 0.95

    found = unlearned(skilled, samples)

    assert found.floor == pytest.approx(0.25 + 0.1 * 0.75)
    assert clean_accuracy(found.model, samples.holdout) <= found.floor
    assert found.history[-1].clean_accuracy <= found.floor
    assert all(epoch.clean_accuracy > found.floor for epoch in found.history[:-1])
    assert found.history[-1].loss > found.history[0].loss
    assert not found.model.training


def test_the_callers_model_is_not_touched(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    skilled.requires_grad_(False)
    before = snapshot(skilled)

    unlearned(skilled, samples)

    assert same_state(skilled, before)
    assert not any(p.requires_grad for p in skilled.parameters())
    assert all(p.grad is None for p in skilled.parameters())
    assert not any(m.training for m in skilled.modules())


def test_the_seed_decides(skilled: nn.Module, samples: SplitSamples) -> None:
    how = Augmentation(crop_padding=1)

    def weights(seed: int) -> dict[str, Tensor]:
        model = unlearned(skilled, samples, seed=seed, augmentation=how).model
        return model.state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_longer_way_down_is_taken_in_smaller_steps(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    found = unlearned(
        skilled, samples, learning_rate=1.0, longest_early_drop=0.2, longest_drop=0.4
    )

    way = found.start - found.floor
    path = [found.start, *(epoch.clean_accuracy for epoch in found.history)]
    for above, below in itertools.pairwise(path):
        early = above > found.start - way / 2
        assert above - below <= (0.2 if early else 0.4) * way + 1e-9
    assert found.backoffs > 0
    assert found.history[-1].learning_rate < 1.0


@pytest.mark.parametrize("learning_rate", [1e3, 1e8])
@pytest.mark.parametrize("batch_size", [16, 1000])
def test_an_ascent_that_explodes_backs_off(
    skilled: nn.Module, samples: SplitSamples, learning_rate: float, batch_size: int
) -> None:
    found = unlearned(
        skilled, samples, learning_rate=learning_rate, batch_size=batch_size
    )

    assert found.backoffs > 0
    assert is_finite(found.model)


@pytest.mark.parametrize("max_backoffs", [0, 8])
@pytest.mark.parametrize("batch_size", [16, 1000])
def test_an_ascent_that_always_explodes_fails_and_returns_nothing(
    skilled: nn.Module, samples: SplitSamples, max_backoffs: int, batch_size: int
) -> None:
    with pytest.raises(DefenseFailed):
        unlearned(
            skilled,
            samples,
            learning_rate=1e38,
            batch_size=batch_size,
            max_backoffs=max_backoffs,
            max_epochs=12,
        )


def test_a_floor_out_of_reach_is_a_failure_with_a_hint(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    with pytest.raises(DefenseFailed, match="did not reach its floor") as failure:
        unlearned(skilled, samples, learning_rate=1e-9, max_epochs=2)

    assert "unlearn.max_epochs" in failure.value.hint
    assert failure.value.exit_code is ExitCode.POLICY


def test_a_rate_that_moves_nothing_doubles(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    found = unlearned(skilled, samples, learning_rate=1e-4)

    rates = [epoch.learning_rate for epoch in found.history]
    assert rates[0] == 1e-4
    assert max(rates) >= 2e-4


def test_every_accepted_epoch_is_announced(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    heard: list[Event] = []

    found = unlearned(skilled, samples, max_epochs=90, listen=heard.append)

    assert heard[0] == StageStarted(stage="unlearn", total=90)
    assert heard[1:-1] == [
        StepDone(stage="unlearn", step=n, clean_accuracy=epoch.clean_accuracy)
        for n, epoch in enumerate(found.history, start=1)
    ]
    assert isinstance(heard[-1], StageDone)


def test_a_holdout_without_skill_tells_nothing(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    shifted = Samples(samples.holdout.images, (samples.holdout.labels + 1) % 4)

    with pytest.raises(DefenseFailed, match="too close to the floor") as failure:
        unlearned(skilled, SplitSamples(samples.fit, shifted, 4))

    assert "more clean samples" in failure.value.hint


def test_one_image_of_a_tiny_holdout_is_no_leap(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    tiny = samples.holdout.take(torch.arange(4))

    found = unlearned(skilled, SplitSamples(samples.fit, tiny, 4))

    assert found.backoffs < UnlearnConfig().max_backoffs


def test_half_way_down_is_above_the_middle_and_no_epoch_more(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    start, before = clean_accuracy(skilled, samples.holdout), snapshot(skilled)
    whole = unlearned(skilled, samples)
    heard: list[Event] = []

    half = unlearn_half(
        skilled,
        samples,
        UnlearnConfig(),
        augmentation=NONE,
        seed=0,
        listen=heard.append,
    )

    middle = (start + whole.floor) / 2
    epochs = len(half.history)
    accuracy = half.history[-1].clean_accuracy if epochs else start
    assert half.floor == pytest.approx(middle)
    assert half.history == whole.history[:epochs]
    assert accuracy > middle >= whole.history[epochs].clean_accuracy
    assert clean_accuracy(half.model, samples.holdout) == accuracy
    assert isinstance(heard[-1], StageDone)
    assert same_state(skilled, before)


def test_a_middle_out_of_reach_is_a_failure(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    slow = UnlearnConfig(learning_rate=1e-9, max_epochs=2)

    with pytest.raises(DefenseFailed, match="did not reach its floor"):
        unlearn_half(skilled, samples, slow, augmentation=NONE, seed=0)
