from __future__ import annotations

import pytest
import torch
from torch import nn

from rnp_cli.defense.samples import Samples
from rnp_cli.defense.unlearn import Epoch
from rnp_cli.evidence.label import label_evidence, path_evidence


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


def test_every_epoch_of_the_path_counts_the_same() -> None:
    history = [
        Epoch(0.9, 0.5, 0.01, (0, 0, 0)),
        Epoch(0.8, 1.0, 0.01, (0, 1, 3)),
        Epoch(0.2, 3.0, 0.01, (60, 20, 0)),
    ]

    evidence = path_evidence(history)

    assert evidence.shares == pytest.approx((0.375, 0.25, 0.375))
