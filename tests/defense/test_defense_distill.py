from __future__ import annotations

import pytest
import torch
from tiny_nets import corner_net, same_state, snapshot
from torch import nn

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.channels import Channel, find_channel_layers
from rnp_cli.defense.distill import (
    DistillConfig,
    Distilled,
    attention,
    distill,
    find_stages,
    watched,
)
from rnp_cli.defense.prune import prune
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.score import logits_of
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Event, StageDone, StageStarted, StepDone


def cut(model: nn.Module, samples: SplitSamples) -> nn.Module:
    """Return a teacher: the model without two channels."""
    layers = find_channel_layers(model, samples.fit.images[:2])
    return prune(model, layers, [Channel(layers[0].name, i) for i in (0, 1)])


def distilled(
    student: nn.Module,
    teacher: nn.Module,
    samples: SplitSamples,
    *,
    seed: int = 0,
    listen: list[Event] | None = None,
    **knobs: float,
) -> Distilled:
    return distill(
        student,
        teacher,
        samples,
        DistillConfig.model_validate(knobs),
        augmentation=Augmentation(),
        seed=seed,
        listen=(listen if listen is not None else []).append,
    )


def apart(
    one: nn.Module, other: nn.Module, samples: SplitSamples, stages: list[str]
) -> float:
    """Return how far the attention of two networks is from each other."""
    with watched(one, stages) as ours, watched(other, stages) as theirs:
        logits_of(one, samples.holdout.images)
        logits_of(other, samples.holdout.images)
    return sum(
        float((attention(ours[s]) - attention(theirs[s])).square().sum(1).mean())
        for s in stages
    )


def test_the_student_learns_where_the_teacher_looks(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    teacher = cut(skilled, samples)
    stages = find_stages(skilled, samples.fit.images[:2], most=3)

    result = distilled(skilled, teacher, samples, epochs=8, attention=50)

    before = apart(skilled, teacher, samples, stages)
    assert apart(result.model, teacher, samples, stages) < 0.7 * before
    assert len(result.history) == 8
    assert result.history[-1] > 0.8


def test_neither_student_nor_teacher_changes(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    teacher = cut(skilled, samples)
    skilled[0].weight.requires_grad_(False)
    before = [snapshot(skilled), snapshot(teacher)]

    result = distilled(skilled, teacher, samples, epochs=1)

    assert same_state(skilled, before[0])
    assert same_state(teacher, before[1])
    assert not same_state(result.model, before[0])
    trainable = [p.requires_grad for p in skilled.parameters()]
    assert [p.requires_grad for p in result.model.parameters()] == trainable


def test_statistics_stay(skilled: nn.Module, samples: SplitSamples) -> None:
    result = distilled(skilled, cut(skilled, samples), samples, epochs=1)

    for name, buffer in skilled.named_buffers():
        assert torch.equal(result.model.get_buffer(name), buffer)


def test_the_last_stage_of_each_size_is_attended_to(samples: SplitSamples) -> None:
    stages = find_stages(corner_net(), samples.fit.images[:2], most=3)

    assert stages == ["2", "6", "7"]
    assert find_stages(corner_net(), samples.fit.images[:2], most=1) == ["7"]


def test_maps_are_of_unit_length() -> None:
    features = torch.rand(3, 5, 4, 2)

    maps = attention(features)

    assert maps.shape == (3, 8)
    torch.testing.assert_close(maps.norm(dim=1), torch.ones(3))


def test_it_announces_its_epochs(skilled: nn.Module, samples: SplitSamples) -> None:
    events: list[Event] = []

    distilled(skilled, cut(skilled, samples), samples, epochs=2, listen=events)

    kinds = [type(event) for event in events]
    assert kinds == [StageStarted, StepDone, StepDone, StageDone]


def test_weights_that_turn_nan_are_told(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    with pytest.raises(DefenseFailed, match="not finite"):
        distilled(skilled, cut(skilled, samples), samples, epochs=3, learning_rate=1e30)
