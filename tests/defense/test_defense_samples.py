from __future__ import annotations

import torch

from rnp_cli.defense.samples import Samples, SplitSamples, drawn_by_class


def numbered(labels: list[int]) -> Samples:
    """Images of one pixel, which holds their number."""
    numbers = torch.arange(len(labels)).float().view(-1, 1, 1, 1)
    return Samples(numbers, torch.tensor(labels))


def test_the_same_share_of_every_class_is_drawn() -> None:
    labels = torch.tensor([0] * 40 + [1] * 20 + [2] * 10)
    others, drawn = drawn_by_class(labels, 0.3, seed=0)
    assert torch.bincount(labels[drawn]).tolist() == [12, 6, 3]
    assert sorted([*others.tolist(), *drawn.tolist()]) == list(range(70))


def test_redrawn_samples_are_all_there_and_split_otherwise() -> None:
    everything = numbered([0] * 20 + [1] * 20)
    fit, held = drawn_by_class(everything.labels, 0.25, seed=0)
    before = SplitSamples(everything.take(fit), everything.take(held), num_classes=2)

    after = before.redrawn(1)

    numbers = [*after.fit.images.flatten(), *after.holdout.images.flatten()]
    assert sorted(map(int, numbers)) == list(range(40))
    assert torch.bincount(after.holdout.labels).tolist() == [5, 5]
    assert not torch.equal(after.holdout.images, before.holdout.images)
    again = before.redrawn(1).holdout.images
    assert torch.equal(after.holdout.images, again)
    assert after.num_classes == 2
