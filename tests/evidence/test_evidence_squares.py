from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from tiny_nets import CORNERS, Corners, corners
from torch import Tensor

from rnp_cli.defense.samples import SplitSamples
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.squares import (
    Fields,
    Square,
    squares_in_corners,
    squares_left,
    squares_near,
)

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


def plain(*colour: float) -> Fields:
    return tuple(((part,),) for part in colour)


def extent(row: int, column: int) -> Tensor:
    found = torch.zeros(1, 8, 8)
    found[0, row, column] = 0.8
    return found


def left(
    model: Corners,
    place: Tensor,
    samples: SplitSamples = SAMPLES,
    **changed: object,
) -> list[RecoveredTrigger]:
    usual = {"source": None, "images_each": 8, "seed": 0}
    return [*squares_left(model, samples, place, TARGET, **usual | changed)]  # type: ignore[arg-type]


def test_squares_of_all_extreme_colours_lie_near_the_patch() -> None:
    squares = squares_near(extent(4, 4), channels=3)

    assert {square.side for square in squares} == {1, 2}
    shown = {square.fields for square in squares if square.side == 1}
    assert shown == {plain(*colour) for colour in product((0, 1), repeat=3)}
    for square in squares:
        assert 3 <= square.top <= 6 - square.side
        assert 3 <= square.left <= 6 - square.side
    assert len(squares) == 8 * 3 * 3 + 10 * 2 * 2


def test_squares_in_corners_lie_at_the_edges_or_a_little_away() -> None:
    squares = squares_in_corners(8, 10, channels=1)

    places = {(s.top, s.left) for s in squares if s.side == 2}
    assert places == {*product((0, 6), (0, 8)), *product((1, 5), (1, 7))}
    assert {s.side for s in squares} == {1, 2}


def test_a_patch_may_lie_in_a_corner_though_another_was_found() -> None:
    assert left(Hidden(), extent(6, 1))  # its pixels are two away from a corner


def test_checkerboards_are_among_them() -> None:
    squares = squares_near(torch.ones(1, 33, 33), channels=1)

    board = [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    other = [[1 - field for field in row] for row in board]
    first = [s for s in squares if (s.top, s.left, s.side) == (0, 0, 3)]
    laid = [s.lay_on(torch.zeros(1, 1, 33, 33))[0, 0, :3, :3].tolist() for s in first]
    assert board in laid
    assert other in laid


def test_each_change_is_of_one_field() -> None:
    square = Square(top=0, left=0, side=6, fields=(((1.0, 0.0), (0.0, 0.5)),))
    images = torch.full((1, 1, 6, 6), 0.25)

    changed = torch.cat([change.lay_on(images) for change in square.changes()])

    far = (changed - square.lay_on(images)).abs()
    assert len(far) == 4
    assert far.sum((1, 2, 3)).tolist() == [9, 9, 9, 0]  # gray has no opposite


@pytest.mark.parametrize("size", [28, 64, 224])
def test_a_speck_in_a_corner_has_squares_of_all_sides(size: int) -> None:
    corner = torch.zeros(1, size, size)
    corner[0, -1, -1] = 1

    squares = squares_near(corner, channels=1)

    assert len({square.side for square in squares}) == 3
    for square in squares:
        assert square.top + square.side <= size
        assert square.left + square.side <= size
    flush = [s for s in squares if s.top + s.side == s.left + s.side == size]
    assert len({square.side for square in flush}) == 3


def test_a_patch_that_is_nowhere_has_no_squares() -> None:
    assert squares_near(torch.zeros(1, 8, 8), channels=3) == []


def test_a_patch_everywhere_does_not_take_for_ever() -> None:
    assert 500 < len(squares_near(torch.ones(1, 224, 224), channels=3)) <= 2048


def test_a_square_is_the_same_laid_on_and_as_a_trigger() -> None:
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    square = Square(top=2, left=5, side=2, fields=plain(1.0, 0.0, 0.5))

    laid = square.lay_on(images)

    assert torch.equal(square.overlay((3, 8, 8)).stamp(images), laid)
    assert (laid != images).any(1).sum() == 5 * 4
    assert laid[0, :, 3, 6].tolist() == [1.0, 0.0, 0.5]


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
