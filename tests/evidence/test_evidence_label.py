from __future__ import annotations

import pytest
import torch
from torch import nn

from rnp_cli.defense.channels import ChannelLayer
from rnp_cli.defense.samples import Samples
from rnp_cli.defense.unlearn import Epoch, Unlearned
from rnp_cli.evidence.label import LabelEvidence, label_evidence, path_evidence


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


PLAIN = ChannelLayer(
    name="conv", kind="convolution", channels=2, scaled=(), producers=()
)
NORM = ChannelLayer(name="bn", kind="batchnorm", channels=2, scaled=(), producers=())
USUAL = (2, 2, 2, 2, 2)


def path(*epochs: tuple[float, tuple[int, ...]]) -> Unlearned:
    """An unlearning from an accuracy of one, with two mistakes of each kind before."""
    history = tuple(Epoch(accuracy, 1.0, 0.01, drawn) for accuracy, drawn in epochs)
    return Unlearned(
        model=nn.Identity(),
        start=1.0,
        mistaken=tuple(2 for _ in epochs[0][1]),
        floor=0.4,
        history=history,
        backoffs=0,
    )


def of_classes(*counts: int) -> Samples:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return Samples(torch.zeros(len(labels), 1, 2, 2), labels)


def evidence_of(
    *found: Unlearned, samples: Samples | None = None
) -> LabelEvidence | None:
    return path_evidence(found, [PLAIN, NORM], samples or of_classes(*[50] * 5))


def test_the_first_half_of_the_way_speaks_and_each_epoch_counts_the_same() -> None:
    found = path(
        (0.95, (12, 2, 2, 2, 2)),  # too early
        (0.9, (2, 3, 5, 0, 2)),
        (0.8, (2, 22, 2, 2, 2)),
        (0.4, (92, 2, 2, 2, 2)),  # too late
    )

    evidence = evidence_of(found)

    assert evidence is not None
    assert evidence.shares == pytest.approx((0.0, 0.625, 0.375, 0.0, 0.0))
    assert evidence.target == 1
    assert evidence.counted == 12


def test_where_one_step_leaps_over_the_first_half_nothing_is_said() -> None:
    leap = path((0.99, (2, 32, 2, 2, 2)), (0.3, (22, 2, 2, 2, 2)))
    assert evidence_of(leap) is None


def test_a_class_is_held_against_the_samples_that_are_not_its_own() -> None:
    samples = of_classes(60, 20, 10, 5, 5)
    evidence = evidence_of(path((0.8, (22, 42, 2, 2, 2))), samples=samples)
    assert evidence is not None
    assert evidence.shares == pytest.approx((0.5, 0.5, 0.0, 0.0, 0.0))


def test_mistakes_that_only_change_places_say_nothing() -> None:
    assert evidence_of(path((0.8, USUAL))) is None


def test_without_batchnorm_or_with_few_classes_nothing_is_said() -> None:
    found = path((0.8, (2, 22, 2, 2, 2)))
    assert path_evidence([found], [PLAIN], of_classes(*[50] * 5)) is None
    assert evidence_of(path((0.8, (2, 22))), samples=of_classes(50, 50)) is None


def test_each_way_down_counts_the_same_however_many_epochs_it_has() -> None:
    long = path((0.9, (2, 22, 2, 2, 2)), (0.8, (2, 42, 2, 2, 2)))
    short = path((0.8, (2, 2, 12, 2, 2)))

    evidence = evidence_of(long, short)

    assert evidence is not None
    assert evidence.shares == pytest.approx((0.0, 0.5, 0.5, 0.0, 0.0))
    assert evidence.counted == 20


def test_a_way_that_leaps_has_no_say_among_others() -> None:
    leap = path((0.3, (22, 2, 2, 2, 2)))
    sound = path((0.8, (2, 22, 2, 2, 2)))
    assert evidence_of(leap, sound) == evidence_of(sound)
