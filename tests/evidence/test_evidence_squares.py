from __future__ import annotations

from itertools import product

import pytest
import torch
from tiny_nets import extent

from rnp_cli.evidence.squares import Fields, Square, squares_in_corners, squares_near


def plain(*colour: float) -> Fields:
    return tuple(((part,),) for part in colour)


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

    changed = torch.cat([change.lay_on(images) for change in square.neighbours()])

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

    assert torch.equal(square.as_change((3, 8, 8)).stamp(images), laid)
    assert (laid != images).any(1).sum() == 5 * 4
    assert laid[0, :, 3, 6].tolist() == [1.0, 0.0, 0.5]
