from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnp_cli.data.classifier import Classifier
from rnp_cli.defense.score import logits_of
from rnp_cli.events import ignore
from rnp_cli.pipeline import opening
from rnp_cli.pipeline.opening import OpenedModel, read_model, with_samples
from rnp_cli.pipeline.request import ModelRequest


class Views(nn.Module):
    """Takes the memory of a feature map as it lies, as many networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4 * 6 * 6, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.convolution(images).view(len(images), -1))


@pytest.fixture
def opened(digits: Any) -> OpenedModel:
    request = ModelRequest(
        model=digits.model, clean_dir=digits.clean, device="cpu", max_samples=50
    )
    return with_samples(read_model(request, ignore), request, ignore)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is quick at bfloat16, for a network that is large enough."""
    monkeypatch.setattr(opening, "has_quick_bfloat16", lambda device: True)
    monkeypatch.setattr(opening, "is_small", lambda model, image: False)


def test_a_small_network_is_not_hurried(
    opened: OpenedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "has_quick_bfloat16", lambda device: True)

    assert opened.working() is opened.clean.classifier


@pytest.mark.usefixtures("quick")
def test_a_hurried_copy_answers_nearly_the_same(opened: OpenedModel) -> None:
    exact, images = opened.clean.classifier, opened.clean.samples.images

    hurried = opened.working()

    assert (hurried.is_hurried, exact.is_hurried) == (True, False)
    assert all(parameter.grad is None for parameter in hurried.parameters())
    said, meant = logits_of(hurried, images), logits_of(exact, images)
    assert said.dtype == torch.float32
    assert not torch.equal(said, meant)
    assert (said - meant).abs().max() < 0.03 * (meant.max() - meant.min())


@pytest.mark.usefixtures("quick")
def test_what_cannot_be_hurried_works_as_it_is(opened: OpenedModel) -> None:
    exact = Classifier(Views(), opened.clean.spec)
    opened = replace(opened, clean=replace(opened.clean, classifier=exact))

    assert opened.working() is exact
