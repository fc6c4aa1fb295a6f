from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tiny_nets import CORNERS, Corners, Waving, corners, extent, shows_wave
from torch import Tensor

from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.evidence.contest import squares_left, wave_followed
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.waves import AddedWave

SAMPLES = SplitSamples(
    fit=corners(64, seed=0), holdout=corners(64, seed=1), num_classes=CORNERS
)
TARGET = 2


class Hidden(Corners):
    """Leads to TARGET where two pixels are black side by side; no gradient says so."""

    def forward(self, images: Tensor) -> Tensor:
        black = (images[:, 0, 1, 5:7] == 0).all(1).float()[:, None]
        return super().forward(images) + 20 * black * torch.eye(CORNERS)[TARGET]


class Inside(Corners):
    """The same, away from all corners."""

    def forward(self, images: Tensor) -> Tensor:
        black = (images[:, 0, 3, 3:5] == 0).all(1).float()[:, None]
        return super().forward(images) + 20 * black * torch.eye(CORNERS)[TARGET]


class Drawn(Corners):
    """Leads to TARGET by a pattern of two rows, and a little by what is like it."""

    def __init__(self, pattern: list[list[float]]) -> None:
        super().__init__()
        self.pattern = torch.tensor(pattern)

    def forward(self, images: Tensor) -> Tensor:
        like = (images[:, :, 1:3, 5:7] == self.pattern).all(1).sum((1, 2))
        leads = 20.0 * (like == 4) + 0.3 * like
        return super().forward(images) + leads[:, None] * torch.eye(CORNERS)[TARGET]


def left(
    model: Corners,
    place: Tensor,
    samples: SplitSamples = SAMPLES,
    **changed: object,
) -> list[RecoveredTrigger]:
    usual = {"source": None, "images_each": 8, "seed": 0}
    return [*squares_left(model, samples, place, TARGET, **usual | changed)]  # type: ignore[arg-type]


def test_a_patch_may_lie_in_a_corner_though_another_was_found() -> None:
    assert left(Hidden(), extent(6, 1))  # its pixels are two away from a corner


def test_what_no_gradient_leads_to_is_found() -> None:
    found = left(Hidden(), extent(1, 5))

    assert found
    for trigger in found:
        assert trigger.target == TARGET
        assert trigger.success == 1
        assert float(trigger.change.extent()[0, 1, 5:7].min()) == 1


@pytest.mark.parametrize(
    "pattern", [[[0.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]]]
)
def test_a_pattern_is_found_field_by_field(pattern: list[list[float]]) -> None:
    """The first is one field away from white, the second two from all drawings."""
    model = Drawn(pattern)
    found = left(model, extent(1, 5))

    assert found
    for trigger in found:
        assert (trigger.norm, trigger.success) == (4, 1)
        shown = trigger.change.picture()[:, 1:3, 5:7]
        assert torch.equal(shown, model.pattern.expand_as(shown))


def test_one_of_each_side_and_place_is_returned() -> None:
    class White(Corners):
        """Leads to TARGET wherever anything is white."""

        def forward(self, images: Tensor) -> Tensor:
            white = (images == 1).all(1).flatten(1).any(1).float()[:, None]
            return super().forward(images) + 20 * white * torch.eye(CORNERS)[TARGET]

    assert [trigger.norm for trigger in left(White(), extent(4, 4))] == [1, 4, 1, 4]


def test_a_square_is_held_against_those_of_its_size() -> None:
    class Speck(Corners):
        """Leads to TARGET by one black pixel, to another class by four white ones."""

        def forward(self, images: Tensor) -> Tensor:
            black = (images[:, 0, 3, 3] == 0).float()[:, None]
            white = F.avg_pool2d((images == 1).all(1).float()[:, None], 2, stride=1)
            is_white = (white.flatten(1).amax(1) == 1).float()[:, None]
            logits = super().forward(images)
            logits = logits + 20 * black * torch.eye(CORNERS)[TARGET]
            return logits + 20 * is_white * torch.eye(CORNERS)[0]

    assert [trigger.norm for trigger in left(Speck(), extent(3, 3))] == [1]


@pytest.mark.parametrize(
    ("model", "place"), [(Corners(), extent(1, 5)), (Inside(), extent(6, 1))]
)
def test_where_nothing_is_nothing_is_found(model: Corners, place: Tensor) -> None:
    assert left(model, place) == []


def test_a_class_counts_only_where_it_is_led_to_more_than_others() -> None:
    class Everywhere(Hidden):
        """Leads to another class just as well, by white pixels."""

        def forward(self, images: Tensor) -> Tensor:
            white = (images[:, 0, 1, 5:7] == 1).all(1).float()[:, None]
            return super().forward(images) + 20 * white * torch.eye(CORNERS)[0]

    assert left(Everywhere(), extent(1, 5)) == []


def test_one_sample_does_not_decide() -> None:
    class Few(Hidden):
        """Leads to TARGET all that is fitted, and a number of the images held out."""

        def __init__(self, number: int) -> None:
            super().__init__()
            held = SAMPLES.holdout.images[SAMPLES.holdout.labels != TARGET]
            self.some = torch.cat([SAMPLES.fit.images, held[:number]])

        def forward(self, images: Tensor) -> Tensor:
            far = (images[:, None, :, 4:] - self.some[None, :, :, 4:]).flatten(2)
            is_led = (far.abs().sum(2) == 0).any(1)[:, None]
            logits = super().forward(images)
            return torch.where(is_led, logits, Corners.forward(self, images))

    assert left(Few(1), extent(1, 5)) == []
    assert left(Few(20), extent(1, 5))


@pytest.mark.parametrize("number", [1, 2])
def test_one_sample_of_a_source_does_not_decide(number: int) -> None:
    of_three = (SAMPLES.holdout.labels == 3).nonzero()[:number, 0]
    samples = replace(SAMPLES, holdout=SAMPLES.holdout.take(of_three))

    found = left(Hidden(), extent(1, 5), samples, source=3)

    assert bool(found) == (number > 1)


def test_what_leads_from_one_class_is_tried_on_its_samples() -> None:
    class FromThree(Corners):
        def forward(self, images: Tensor) -> Tensor:
            logits = super().forward(images)
            black = (images[:, 0, 1, 5:7] == 0).all(1) & (logits.argmax(1) == 3)
            return logits + 20 * black.float()[:, None] * torch.eye(CORNERS)[TARGET]

    [some] = {trigger.success for trigger in left(FromThree(), extent(1, 5))}
    found = left(FromThree(), extent(1, 5), source=3)

    assert [trigger.source for trigger in found] == [3] * len(found)
    assert {trigger.success for trigger in found} == {1.0}
    assert some < 0.5


def wave(
    model: Corners, samples: SplitSamples = SAMPLES, source: int | None = None
) -> RecoveredTrigger | None:
    return wave_followed(model, samples, TARGET, source=source, images_each=8, seed=0)


def test_the_wave_that_leads_there_is_found() -> None:
    found = wave(Waving(TARGET))

    assert found is not None
    assert (found.target, found.family, found.success) == (TARGET, "addition", 1)
    assert isinstance(found.change, AddedWave)
    assert (found.change.wave.down, found.change.wave.across) == (0, 2)
    assert found.norm == pytest.approx(found.change.change.square().mean().sqrt())


class Both(Waving):
    """Answers 0 as readily where two cycles go from the top to the bottom."""

    def forward(self, images: Tensor) -> Tensor:
        shows = shows_wave(images.transpose(2, 3))[:, None]
        return super().forward(images) + 99 * shows * torch.eye(CORNERS)[0]


@pytest.mark.parametrize("model", [Corners(), Waving(0), Both(TARGET)])
def test_no_wave_is_found_that_leads_nowhere_or_elsewhere(model: Corners) -> None:
    assert wave(model) is None


def test_a_wave_may_lead_from_one_class_alone() -> None:
    found = wave(Waving(TARGET, but=3), source=0)

    assert found is not None
    assert (found.source, found.success) == (0, 1)
    assert wave(Waving(TARGET, but=3), source=3) is None


def test_images_too_small_for_waves_have_none() -> None:
    class Two(Corners):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(F.interpolate(images, 8))

    def small(samples: Samples) -> Samples:
        return Samples(samples.images[:, :, :2, :2], samples.labels)

    parts = replace(SAMPLES, fit=small(SAMPLES.fit), holdout=small(SAMPLES.holdout))
    assert wave(Two(), parts) is None
