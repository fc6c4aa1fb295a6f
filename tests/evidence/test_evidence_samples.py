from __future__ import annotations

import copy

import pytest
import torch
from tiny_nets import CORNERS, corner_net, corners, same_state, snapshot, trained
from torch import Tensor, nn

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import clean_accuracy
from rnp_cli.defense.unlearn import UnlearnConfig
from rnp_cli.evidence.samples import (
    Exposed,
    SampleConfig,
    SampleDetector,
    calibrate,
    expose,
    kept_classes,
    lost_classes,
)

TARGET = 2


def stamp(images: Tensor) -> Tensor:
    """A checkerboard over the middle, which no clean image has."""
    stamped = images.clone()
    board = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(2, 2)
    stamped[:, :, 2:6, 2:6] = board
    return stamped


@pytest.fixture(scope="module")
def backdoored() -> nn.Module:
    clean, other = corners(256, seed=3), corners(128, seed=4)
    poisoned = Samples(
        torch.cat([clean.images, stamp(other.images)]),
        torch.cat([clean.labels, torch.full_like(other.labels, TARGET)]),
    )
    return trained(corner_net(), poisoned, epochs=12)


@pytest.fixture(scope="module")
def samples() -> SplitSamples:
    return SplitSamples(
        fit=corners(96, seed=1), holdout=corners(99, seed=2), num_classes=CORNERS
    )


@pytest.fixture(scope="module")
def exposed(backdoored: nn.Module, samples: SplitSamples) -> Exposed:
    return exposed_from(backdoored, samples, stops=8)


@pytest.fixture(scope="module")
def detector(
    backdoored: nn.Module, exposed: Exposed, samples: SplitSamples
) -> SampleDetector:
    return calibrate(kept_classes(backdoored, exposed.stops), samples, SampleConfig())


def exposed_from(model: nn.Module, samples: SplitSamples, *, stops: int) -> Exposed:
    return expose(
        model,
        samples,
        SampleConfig(stops=stops),
        UnlearnConfig(),
        augmentation=Augmentation(),
        seed=0,
    )


class Told(nn.Module):
    """Logits that are the image, one pixel per class, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * images.flatten(1)


def told(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows)[:, None, :, None]


def test_triggered_images_are_suspect_and_clean_ones_seldom(
    detector: SampleDetector,
) -> None:
    fresh = corners(200, seed=5)
    others = fresh.images[fresh.labels != TARGET]

    triggered = detector.judge(stamp(others))
    clean = detector.judge(fresh.images)

    assert (triggered.predicted == TARGET).float().mean() > 0.9
    assert (triggered.p_values <= 0.05).float().mean() > 0.8
    assert (clean.p_values <= 0.05).float().mean() < 0.15


def test_each_stop_has_less_skill_and_the_last_is_the_end(
    backdoored: nn.Module, samples: SplitSamples, exposed: Exposed
) -> None:
    skill = [clean_accuracy(stop, samples.holdout) for stop in exposed.stops]
    assert skill == sorted(skill, reverse=True)
    assert len(set(skill)) == len(skill) > 1
    last = exposed.stops[-1].state_dict()
    assert same_state(exposed.unlearned.model, last)

    (only,) = exposed_from(backdoored, samples, stops=1).stops
    assert same_state(only, last)


def test_the_callers_model_stays_as_it_is(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    model = copy.deepcopy(backdoored).train()
    before = snapshot(model)

    exposed_ = exposed_from(model, samples, stops=4)
    witness = kept_classes(model, exposed_.stops)
    calibrate(witness, samples, SampleConfig()).judge(samples.fit.images)

    assert same_state(model, before)
    assert model.training


def test_p_values_count_the_held_out_samples_and_are_never_zero(
    detector: SampleDetector, samples: SplitSamples
) -> None:
    own = detector.judge(samples.holdout.images)

    assert own.p_values.sort().values.tolist() == pytest.approx(
        [rank / 100 for rank in range(2, 101)]
    )
    assert detector.least_rate == pytest.approx(0.01)


def test_an_image_is_compared_with_clean_ones_of_its_class() -> None:
    """Class 0 is always surer than class 1: what is usual for one is not for both."""
    sure = [[6.0 + step / 10, 0.0] for step in range(10)]
    unsure = [[0.0, 1.0 + step / 10] for step in range(10)]
    part = Samples(told(sure + unsure), torch.tensor([0] * 10 + [1] * 10))
    samples = SplitSamples(fit=part, holdout=part, num_classes=2)
    witness = kept_classes(Told(1.0), [Told(0.5)])
    detector = calibrate(witness, samples, SampleConfig(usual_samples=0.1))

    usual, odd = detector.judge(told([[6.5, 0.0], [0.0, 4.0]])).p_values.tolist()

    assert usual > 0.2
    assert odd == pytest.approx(detector.least_rate)


def test_the_stop_speaks_at_which_an_image_stands_out_most() -> None:
    part = corners(40, seed=6)
    pair = Samples(part.images[:, :, :2, :1], part.labels % 2)
    samples = SplitSamples(fit=pair, holdout=pair, num_classes=2)
    one, other = Told(-1.0), Told(1.0)

    scores = [
        calibrate(kept_classes(Told(1.0), stops), samples, SampleConfig())
        .judge(pair.images)
        .scores
        for stops in ([one], [other], [one, other])
    ]

    torch.testing.assert_close(scores[2], scores[0].maximum(scores[1]))


def test_a_score_that_is_no_number_counts_as_suspect() -> None:
    part = corners(40, seed=6)
    pair = Samples(part.images[:, :, :2, :1], part.labels % 2)
    samples = SplitSamples(fit=pair, holdout=pair, num_classes=2)
    detector = calibrate(kept_classes(Told(1.0), [Told(1.0)]), samples, SampleConfig())

    judged = detector.judge(torch.full((1, 1, 2, 1), torch.nan))

    assert judged.p_values.tolist() == [detector.least_rate]


def test_images_are_suspect_whose_class_a_sanitized_model_gives_up(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    sanitized = trained(corner_net(), corners(256, seed=3), epochs=12)
    witness = lost_classes(backdoored, sanitized)
    detector = calibrate(witness, samples, SampleConfig())
    fresh = corners(128, seed=9)
    others = fresh.take((fresh.labels != TARGET).nonzero()[:, 0])

    judged = detector.judge(torch.cat([fresh.images, stamp(others.images)]))

    suspect = judged.p_values <= 0.05
    assert suspect[len(fresh) :].double().mean() > 0.9
    assert suspect[: len(fresh)].double().mean() < 0.15
    assert (judged.predicted[len(fresh) :] == TARGET).double().mean() > 0.9


def test_a_sanitized_model_that_agrees_makes_nothing_suspect() -> None:
    part = Samples(told([[2.0, 0.0], [0.0, 3.0]] * 8), torch.tensor([0, 1] * 8))
    samples = SplitSamples(fit=part, holdout=part, num_classes=2)
    witness = lost_classes(Told(1.0), Told(1.0))
    detector = calibrate(witness, samples, SampleConfig())

    assert detector.judge(part.images).p_values.min() > 0.5
