from __future__ import annotations

import pytest
import torch
from tiny_nets import CORNERS, LEFT, RIGHT, ROW, Corners, corners
from torch import Tensor, nn

from rnp_cli.defense.samples import SplitSamples
from rnp_cli.evidence.inversion import (
    InversionConfig,
    goals_of,
    invert_each,
    invert_triggers,
)
from rnp_cli.evidence.recovered import RecoveredTrigger, estimated_success
from rnp_cli.evidence.triggers.overlay import Overlay

QUICK = InversionConfig(steps=100)


@pytest.fixture(scope="module")
def samples() -> SplitSamples:
    return SplitSamples(
        fit=corners(64, seed=0), holdout=corners(32, seed=1), num_classes=CORNERS
    )


def norms(model: nn.Module, samples: SplitSamples) -> list[float]:
    found = invert_triggers(
        model, samples, QUICK, goals_of([*range(CORNERS), None]), seed=0
    )
    return [trigger.norm for trigger in found]


def test_backdoored_class_needs_the_smallest_mask(samples: SplitSamples) -> None:
    *targeted, _ = norms(Corners(target=2), samples)
    assert min(range(CORNERS), key=targeted.__getitem__) == 2
    others = [norm for target, norm in enumerate(targeted) if target != 2]
    assert 3 * targeted[2] < min(others)


def test_a_patch_that_moves_every_class_on_shows_without_a_target(
    samples: SplitSamples,
) -> None:
    *targeted, untargeted = norms(Corners(moves=True), samples)
    assert 2 * untargeted < min(targeted)


def test_clean_network_has_no_class_apart(samples: SplitSamples) -> None:
    *targeted, untargeted = norms(Corners(), samples)
    assert 3 * min(targeted) > max(targeted)
    assert 3 * untargeted > min(targeted)


def test_recovered_trigger_works_and_shows_the_pixel(samples: SplitSamples) -> None:
    (found,) = invert_triggers(Corners(target=2), samples, QUICK, goals_of([2]), seed=0)
    assert found.found
    assert found.success > 0.7
    mask = found.change.extent()
    assert mask[0, ROW, LEFT : RIGHT + 1].sum() > 0.8 * found.norm
    assert mask.min() >= 0
    assert mask.max() <= 1
    model = Corners(target=2)
    stamped = found.stamp(samples.holdout.images)
    assert (model(stamped).argmax(1) == 2).float().mean() > 0.7


def test_model_and_mode_stay_as_they_were(samples: SplitSamples) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, CORNERS)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    invert_triggers(model, samples, InversionConfig(steps=2), goals_of([0]), seed=0)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_groups_give_every_target_its_trigger(samples: SplitSamples) -> None:
    small = InversionConfig(steps=3, images_per_class=4, pixels_at_once=512)
    found = invert_triggers(
        Corners(), samples, small, goals_of([0, 1, 2, 3, None]), seed=0
    )
    assert [trigger.target for trigger in found] == [0, 1, 2, 3, None]


def test_same_seed_same_triggers(samples: SplitSamples) -> None:
    assert norms(Corners(target=1), samples) == norms(Corners(target=1), samples)


def test_success_is_estimated_on_any_model(samples: SplitSamples) -> None:
    (found,) = invert_triggers(Corners(target=2), samples, QUICK, goals_of([2]), seed=0)
    holdout = samples.holdout
    assert estimated_success(Corners(target=2), found, holdout) == found.success
    assert estimated_success(Corners(), found, holdout) < 0.1


def test_what_was_not_found_has_no_success(samples: SplitSamples) -> None:
    ones = torch.ones(1, 8, 8)
    nothing = RecoveredTrigger(2, Overlay(ones, ones), 64.0, 0.0, found=False)
    assert estimated_success(Corners(target=2), nothing, samples.holdout) == 0


def test_success_is_nothing_where_no_other_class_is_held_out(
    samples: SplitSamples,
) -> None:
    (found,) = invert_triggers(Corners(target=2), samples, QUICK, goals_of([2]), seed=0)
    own = samples.holdout.take((samples.holdout.labels == 2).nonzero()[:, 0])
    assert estimated_success(Corners(target=2), found, samples.holdout) > 0.7
    assert estimated_success(Corners(target=2), found, own) == 0


def test_of_several_attempts_at_any_other_class_the_smallest_counts(
    samples: SplitSamples,
) -> None:
    def each(attempts: int) -> tuple[RecoveredTrigger, ...]:
        config = InversionConfig(steps=60, free_attempts=attempts)
        return invert_each(
            Corners(moves=True), samples, config, goals_of([0, None]), seed=0
        )

    targeted, free = each(5)
    assert (targeted.target, free.target) == (0, None)
    every = invert_triggers(
        Corners(moves=True),
        samples,
        InversionConfig(steps=60),
        goals_of([0] + 5 * [None]),
        seed=0,
    )
    norms = [t.norm for t in every[1:] if t.found]
    assert len(set(norms)) > 1
    assert free.norm == min(norms)
    assert targeted.norm == every[0].norm


class Wrong(nn.Module):
    """Answers the class before the true one, but for class 0; one pixel mends it."""

    def forward(self, images: Tensor) -> Tensor:
        logits = Corners()(images)
        return torch.where(logits.argmax(1)[:, None] == 0, logits, logits.roll(-1, 1))


def test_only_images_that_a_model_gets_right_need_turning(
    samples: SplitSamples,
) -> None:
    (free,) = invert_triggers(
        Wrong(),
        samples,
        InversionConfig(steps=30, success=0.5),
        goals_of([None]),
        seed=0,
    )
    assert free.norm > 1  # although three images of four are wrong as they are
