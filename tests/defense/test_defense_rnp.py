from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_nets import CORNERS, same_state, snapshot
from torch import nn

from rnp_cli.defense import rnp
from rnp_cli.defense.prune import prune
from rnp_cli.defense.recover import RecoverConfig
from rnp_cli.defense.rnp import Defended, DefenseConfig, defend
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.score import clean_accuracy
from rnp_cli.defense.threshold import (
    NoSafeThreshold,
    Threshold,
    ThresholdConfig,
    choose_threshold,
)
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


def test_a_candidate_is_confirmed_on_all_clean_samples(
    skilled: nn.Module, samples: SplitSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Callable[[int], bool]] = []

    def listening(*args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs["confirm"])
        return choose_threshold(*args, **kwargs)

    monkeypatch.setattr(rnp, "choose_threshold", listening)
    found = defended(skilled, samples)

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
