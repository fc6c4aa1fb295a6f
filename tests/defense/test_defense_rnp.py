from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_nets import CORNERS, same_state, snapshot
from torch import nn

from rnp_cli.defense import rnp
from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.prune import prune
from rnp_cli.defense.recover import RecoverConfig
from rnp_cli.defense.rnp import Defended, DefenseConfig, defend
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.score import clean_accuracy
from rnp_cli.defense.threshold import (
    NoSafeThreshold,
    Threshold,
    ThresholdConfig,
    choose_fewest,
    choose_threshold,
)
from rnp_cli.defense.unlearn import Unlearned, unlearn
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Event, StageDone, StageStarted

# Masks that cannot move stay at one, and no channel is suspicious enough to be cut.
STUCK = DefenseConfig(recover=RecoverConfig(learning_rate=1e-9, epochs=1))
BRISK = DefenseConfig(
    recover=RecoverConfig(learning_rate=5.0),
    threshold=ThresholdConfig(max_accuracy_drop=0.3),
)


def defended(
    model: nn.Module, samples: SplitSamples, config: DefenseConfig = BRISK
) -> Defended:
    return defend(model, samples, config, seed=0)


@pytest.fixture
def unlearned(skilled: nn.Module, samples: SplitSamples) -> Unlearned:
    plain = Augmentation()
    return unlearn(skilled, samples, BRISK.unlearn, augmentation=plain, seed=5)


def test_the_pruned_model_is_the_original_without_the_channels_named(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    before = snapshot(skilled)

    found = defended(skilled, samples)

    assert isinstance(found.threshold, Threshold)
    assert found.pruned == found.ranked[: found.threshold.pruned]
    cut = prune(skilled, found.layers, [r.channel for r in found.pruned])
    assert same_state(found.model, snapshot(cut))
    assert not same_state(found.model, before)
    assert same_state(skilled, before)
    assert not any(m.training for m in skilled.modules())


def test_the_budget_holds_on_the_holdout_and_on_all_clean_samples(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    found = defended(skilled, samples)

    budget = BRISK.threshold.max_accuracy_drop + 1e-9
    for part in (samples.holdout, samples.everything()):
        lost = clean_accuracy(skilled, part) - clean_accuracy(found.model, part)
        assert lost <= budget


@pytest.mark.parametrize("choose", [choose_threshold, choose_fewest])
def test_a_candidate_is_confirmed_on_all_clean_samples(
    skilled: nn.Module,
    samples: SplitSamples,
    unlearned: Unlearned,
    choose: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one_class = samples.holdout.take((samples.holdout.labels == 0).nonzero()[:, 0])
    samples = replace(samples, holdout=one_class)
    asked: list[Callable[[int], bool]] = []

    def listening(*args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs["confirm"])
        return choose(*args, **kwargs)

    monkeypatch.setattr(rnp, choose.__name__, listening)
    success_of = (lambda model: 0.0) if choose is choose_fewest else None
    found = defend(
        skilled, samples, BRISK, unlearned=unlearned, success_of=success_of, seed=0
    )

    everything = samples.everything()
    before = clean_accuracy(skilled, everything)
    budget = BRISK.threshold.max_accuracy_drop + 1e-9
    kept = []
    for count in range(len(found.ranked) + 1):
        channels = [r.channel for r in found.ranked[:count]]
        after = clean_accuracy(prune(skilled, found.layers, channels), everything)
        kept.append(before - after <= budget)
    assert [asked[0](count) for count in range(len(kept))] == kept
    assert set(kept) == {True, False}


def test_dropout_draws_from_the_seed_too(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    model = nn.Sequential(*list(skilled)[:-1], nn.Dropout(0.2), skilled[-1]).eval()

    first = defended(model, samples)
    torch.rand(7)
    again = defended(model, samples)

    assert first.ranked == again.ranked


def test_every_channel_is_ranked_once(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    found = defended(skilled, samples)

    channels = [r.channel for r in found.ranked]
    assert len(set(channels)) == len(channels) == 6 + 8


def test_the_same_seed_gives_the_same_result_and_the_callers_randomness_stays(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    state = torch.random.get_rng_state()

    first = defended(skilled, samples)
    torch.manual_seed(99)
    again = defended(skilled, samples)
    torch.random.set_rng_state(state)
    defended(skilled, samples)

    assert first.ranked == again.ranked
    assert first.threshold == again.threshold
    assert same_state(first.model, snapshot(again.model))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_no_safe_threshold_leaves_an_unchanged_copy(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    found = defended(skilled, samples, STUCK)

    assert isinstance(found.threshold, NoSafeThreshold)
    assert found.pruned == ()
    assert found.model is not skilled
    assert same_state(found.model, snapshot(skilled))


def test_a_network_without_batchnorm_is_defended_too(
    skilled_without_norm: Callable[[], nn.Module], samples: SplitSamples
) -> None:
    model = skilled_without_norm()
    assert clean_accuracy(model, samples.holdout) > 0.9

    found = defended(model, samples)

    assert [layer.kind for layer in found.layers] == ["convolution", "convolution"]
    assert clean_accuracy(found.unlearned.model, samples.holdout) <= 0.33
    assert isinstance(found.threshold, Threshold)


def test_a_network_of_one_layer_cannot_be_defended(samples: SplitSamples) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, CORNERS))

    with pytest.raises(DefenseFailed, match="no BatchNorm"):
        defended(model, samples)


def test_the_stages_are_announced_in_order(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    heard: list[Event] = []

    defend(skilled, samples, STUCK, seed=0, listen=heard.append)

    ends = [e for e in heard if isinstance(e, StageStarted | StageDone)]
    assert [(type(e), e.stage) for e in ends] == [
        (kind, stage)
        for stage in ("unlearn", "recover", "prune")
        for kind in (StageStarted, StageDone)
    ]


def test_a_model_that_was_unlearned_already_is_not_unlearned_again(
    skilled: nn.Module, samples: SplitSamples, unlearned: Unlearned
) -> None:
    heard: list[Event] = []
    before = snapshot(unlearned.model)

    found = defend(
        skilled, samples, BRISK, unlearned=unlearned, seed=0, listen=heard.append
    )

    assert found.unlearned is unlearned
    assert {event.stage for event in heard} == {"recover", "prune"}
    assert same_state(unlearned.model, before)


def test_the_ranking_rests_on_the_unlearned_model_that_is_given(
    skilled: nn.Module, samples: SplitSamples, unlearned: Unlearned
) -> None:
    given = defend(skilled, samples, BRISK, unlearned=unlearned, seed=0)
    own = defended(skilled, samples)
    again = defend(skilled, samples, BRISK, unlearned=own.unlearned, seed=0)

    assert given.ranked != own.ranked
    assert again.ranked == own.ranked
    assert same_state(again.model, snapshot(own.model))


def test_the_augmentation_that_is_given_is_used_even_where_it_hurts(
    skilled: nn.Module, samples: SplitSamples, unlearned: Unlearned
) -> None:
    harmful = Augmentation(crop_padding=2, flip=True)

    def masks(augmentation: Augmentation) -> Defended:
        return defend(
            skilled,
            samples,
            BRISK,
            augmentation=augmentation,
            unlearned=unlearned,
            seed=0,
        )

    assert defended(skilled, samples).augmentation != harmful
    assert masks(harmful).augmentation == harmful
    assert masks(harmful).masks.history != masks(Augmentation()).masks.history


def cut_channels(model: nn.Module) -> int:
    norms = (m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    return sum(int((norm.weight == 0).sum()) for norm in norms)


@pytest.mark.parametrize("fewest", [1, 2])
def test_no_more_is_pruned_than_takes_the_triggers_away(
    skilled: nn.Module, samples: SplitSamples, unlearned: Unlearned, fewest: int
) -> None:
    def found(success_of: Callable[[nn.Module], float] | None) -> Defended:
        return defend(
            skilled,
            samples,
            BRISK,
            unlearned=unlearned,
            success_of=success_of,
            seed=0,
        )

    few = found(lambda model: 0.0 if cut_channels(model) >= fewest else 1.0)

    assert isinstance(few.threshold, Threshold)
    assert few.threshold.pruned == len(few.pruned) == cut_channels(few.model) == fewest
    success = [candidate.success for candidate in few.threshold.path]
    assert success == [None, *[1.0] * (fewest - 1), 0.0]
    assert len(found(None).pruned) > fewest


def test_where_pruning_does_not_take_the_triggers_away_nothing_is_pruned(
    skilled: nn.Module, samples: SplitSamples, unlearned: Unlearned
) -> None:
    found = defend(
        skilled,
        samples,
        BRISK,
        unlearned=unlearned,
        success_of=lambda model: 1.0,
        seed=0,
    )

    assert isinstance(found.threshold, NoSafeThreshold)
    assert found.pruned == ()
    assert same_state(found.model, snapshot(skilled))
