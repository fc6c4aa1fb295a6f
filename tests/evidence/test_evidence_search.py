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
from rnp_cli.evidence.triggers import FAMILIES, Family

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
    with pytest.raises(IndexError):  # all steps were taken
        some.stamp()


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


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_leaves_all_tensors_in_their_place(family: Family) -> None:
    """What a GPU replays reads and writes where it was recorded."""
    model = Corners(target=2).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    some = Search(
        model,
        SAMPLES,
        goals_of([0, 2], family),
        steps=9,
        images_each=50,
        success=0.1,
        generator=generator,
    )

    def places() -> dict[str, int]:
        parts = vars(some) | vars(some.candidates)
        lasting = parts.keys() - {"turned", "_sizes"}  # of each step anew
        tensors = {n: p for n, p in parts.items() if isinstance(p, Tensor)}
        return {name: tensors[name].data_ptr() for name in tensors.keys() & lasting}

    before = places()
    for _ in range(5):
        move(model, [some])

    assert len(before) > 9
    assert places() == before


def answered(some: Search, *, turned: bool) -> None:
    """Take a step whose images all go to class 2, or all elsewhere."""
    _, labels = some.stamp()
    logits = torch.zeros(1, labels.shape[1], CORNERS)
    logits[..., 2 if turned else 1] = 9
    some.loss(logits, labels).sum().backward()
    some.step()


def weight(some: Search) -> float:
    """Return the weight on the size, which the loss shows."""
    _, labels = some.stamp()
    logits = torch.zeros(1, labels.shape[1], CORNERS)
    size = some.candidates.sizes()
    loss = some.loss(logits, labels) - torch.log(torch.tensor(float(CORNERS)))
    return float((loss / size).detach())


def test_the_weight_grows_fast_until_a_candidate_fails() -> None:
    some = search([2], steps=60, images_each=50)

    def growth(*, turned: bool) -> float:
        before = weight(some)
        answered(some, turned=turned)
        return weight(some) / before

    first = growth(turned=True)
    fall = growth(turned=False)
    while growth(turned=True) < 1:
        pass
    later = growth(turned=True)
    assert first > 1.4
    assert fall < 0.95
    assert 1.05 < later < 1.2


def test_a_candidate_counts_where_it_works_now_as_well() -> None:
    def norm(*, last: bool) -> float:
        some = search([2], steps=40, images_each=50, success=0.9)
        for _ in range(9):
            answered(some, turned=False)
        for _ in range(12):  # the mean comes to know that it works
            answered(some, turned=True)
        before = some.triggers(SAMPLES)[0].norm
        answered(some, turned=last)
        return some.triggers(SAMPLES)[0].norm - before

    assert norm(last=True) < 0
    assert norm(last=False) == 0


@pytest.mark.parametrize("images", [2, 12])
def test_few_images_at_a_time_find_a_trigger_too(images: int) -> None:
    halves = SplitSamples(fit=SAMPLES, holdout=corners(32, seed=1), num_classes=CORNERS)
    config = InversionConfig(images_per_class=images)
    model = Corners(target=2)

    found = invert_triggers(model, halves, config, goals_of([2] * 4), seed=0)

    assert all(trigger.found for trigger in found)
    assert sum(trigger.success for trigger in found) > 4 * 0.7
