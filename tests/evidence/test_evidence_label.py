from __future__ import annotations

import pytest
import torch
from torch import nn

from rnp_cli.defense.channels import find_channel_layers
from rnp_cli.defense.samples import Samples
from rnp_cli.defense.unlearn import Epoch, Unlearned
from rnp_cli.evidence.label import label_evidence, path_evidence, path_speaks


def test_the_class_most_predicted_is_the_suspect_whatever_the_labels() -> None:
    logits = torch.eye(4)[[2, 2, 0, 2, 1]]
    samples = Samples(logits.view(5, 1, 2, 2), torch.tensor([0, 0, 0, 0, 0]))

    evidence = label_evidence(nn.Flatten(), samples)

    assert evidence.target == 2
    assert evidence.share == pytest.approx(0.6)
    assert evidence.shares == pytest.approx((0.2, 0.2, 0.6, 0.0))


def test_classes_that_are_never_predicted_count_as_zero() -> None:
    samples = Samples(torch.eye(9)[[0, 0]].view(2, 1, 3, 3), torch.tensor([8, 8]))

    shares = label_evidence(nn.Flatten(), samples).shares

    assert len(shares) == 9
    assert sum(shares) == pytest.approx(1)


def path(*epochs: tuple[float, tuple[int, ...]]) -> Unlearned:
    """An unlearning from an accuracy of one, with a mistake of each kind before."""
    history = tuple(Epoch(accuracy, 1.0, 0.01, drawn) for accuracy, drawn in epochs)
    return Unlearned(
        model=nn.Identity(),
        start=1.0,
        mistaken=(1, 1, 1),
        floor=0.4,
        history=history,
        backoffs=0,
    )


def of_classes(*counts: int) -> Samples:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return Samples(torch.zeros(len(labels), 1, 2, 2), labels)


def test_the_first_half_of_the_way_speaks_and_each_epoch_counts_the_same() -> None:
    found = path(
        (0.99, (11, 1, 1)),  # too early
        (0.9, (1, 2, 4)),
        (0.8, (1, 21, 1)),
        (0.4, (91, 1, 1)),  # too late
    )

    evidence = path_evidence(found, of_classes(50, 50, 50))

    assert evidence.shares == pytest.approx((0.0, 0.625, 0.375))
    assert evidence.target == 1


def test_where_one_step_leaps_over_the_first_half_the_end_speaks() -> None:
    found = path((0.99, (1, 31, 1)), (0.3, (21, 1, 1)))
    assert path_evidence(found, of_classes(50, 50, 50)).target == 0


def test_a_class_is_held_against_the_samples_that_are_not_its_own() -> None:
    evidence = path_evidence(path((0.8, (21, 41, 1))), of_classes(60, 20, 20))
    assert evidence.shares == pytest.approx((0.5, 0.5, 0.0))


def test_mistakes_that_only_change_places_say_nothing() -> None:
    shares = path_evidence(path((0.8, (1, 1, 0))), of_classes(5, 5, 5)).shares
    assert shares == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_a_network_without_batchnorm_is_not_heard() -> None:
    images = torch.zeros(2, 1, 5, 5)
    plain = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(18, 4), nn.Linear(4, 3)
    )
    assert not path_speaks(find_channel_layers(plain, images))
    convolution, *rest = plain
    normalized = nn.Sequential(convolution, nn.BatchNorm2d(2), *rest)
    assert path_speaks(find_channel_layers(normalized, images))
