from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_nets import CORNERS, Corners, corners
from torch import Tensor, nn

from rnp_cli.defense.samples import SplitSamples
from rnp_cli.evidence.inversion import InversionConfig, goals_of, invert_triggers
from rnp_cli.evidence.search import Search, move

SAMPLES = corners(64, seed=0)


class Counting(nn.Module):
    """Corners that remember how many images were to be turned at once."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Corners(target=2)
        self.batches: list[int] = []

    def __deepcopy__(self, memo: object) -> Counting:
        return self  # inversion works on a copy

    def forward(self, images: Tensor) -> Tensor:
        if images.requires_grad:
            self.batches.append(len(images))
        logits: Tensor = self.inner(images)
        return logits


def search(targets: list[int | None], **changed: Any) -> Search:
    usual: dict[str, Any] = {
        "steps": 3,
        "images_each": 5,
        "success": 0.95,
        "generator": torch.Generator().manual_seed(0),
    }
    model = Corners(target=2).requires_grad_(False)
    return Search(model, SAMPLES, goals_of(targets), **usual | changed)


def test_the_loss_is_to_reach_the_class_or_to_leave_the_true_one() -> None:
    some = search([1, None, 3])
    _, labels = some.stamp()
    logits = 3 * torch.randn(3, 5, CORNERS, generator=torch.Generator().manual_seed(1))

    loss = some.loss(logits, labels) - 0.01 * some.candidates.sizes()

    true = logits[1].softmax(1).gather(1, labels[1][:, None])
    expected = [
        F.cross_entropy(logits[0], torch.full((5,), 1)),
        -torch.log(1 - true + 1e-4).mean(),
        F.cross_entropy(logits[2], torch.full((5,), 3)),
    ]
    assert torch.allclose(loss, torch.stack(expected), atol=1e-5)
    predicted = logits.argmax(2)
    turned = [predicted[0] == 1, predicted[1] != labels[1], predicted[2] == 3]
    assert torch.equal(some.turned, torch.stack(turned).float().mean(1))


def test_a_goals_images_are_not_of_its_class() -> None:
    some = search([0, 3], steps=20)
    for _ in range(20):
        _, labels = some.stamp()
        assert (labels[0] != 0).all()
        assert (labels[1] != 3).all()
        some.loss(torch.zeros(2, 5, CORNERS), labels)
        some.step()
    assert some.is_done


def test_all_families_go_through_the_model_at_once() -> None:
    model = Counting()
    halves = SplitSamples(fit=SAMPLES, holdout=SAMPLES, num_classes=CORNERS)
    goals = goals_of([0, 1, None]) + goals_of([0, 1], "addition")
    config = InversionConfig(steps=10, images_per_class=4)

    found = invert_triggers(model, halves, config, goals, seed=0)

    assert [(t.family, t.target) for t in found] == [
        (g.family, g.target) for g in goals
    ]
    assert model.batches == 6 * [5 * 4] + 4 * [3 * 4]  # an addition takes 6 steps


def test_families_do_not_disturb_one_another() -> None:
    halves = SplitSamples(fit=SAMPLES, holdout=SAMPLES, num_classes=CORNERS)
    config = InversionConfig(steps=10, images_per_class=4)
    overlays, additions = goals_of([0, 1, 2]), goals_of([0, 1], "addition")

    def norms(goals: Any) -> list[float]:
        found = invert_triggers(Corners(), halves, config, goals, seed=0)
        return [trigger.norm for trigger in found]

    apart = norms(overlays) + norms(additions)
    assert norms(overlays + additions) == pytest.approx(apart)


def test_a_searched_model_learns_nothing() -> None:
    some = search([1])
    model = Corners(target=2).requires_grad_(False)
    move(model, [some])
    assert all(parameter.grad is None for parameter in model.parameters())
