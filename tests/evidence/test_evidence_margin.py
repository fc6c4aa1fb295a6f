from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples
from rnp_cli.events import Event, StageDone, StageStarted, StepDone
from rnp_cli.evidence import chance
from rnp_cli.evidence.chance import UsualConfig, weigh_margins
from rnp_cli.evidence.margin import MarginConfig, Margins, maximum_margins

CLASSES = 6
STRONG = 3  # leads by more than the others, for the same answers to clean images


class Columns(nn.Module):
    """Its logit of a class is the brightness of one column; of STRONG also darkness.

    weights: (class,) of the columns. Images are (batch, 1, 8, 8).
    """

    def __init__(self, weights: Tensor, bonus: float = 0.0) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)
        self.bonus = bonus

    def forward(self, images: Tensor) -> Tensor:
        columns = images.mean((1, 2))[:, :CLASSES]
        unused = images[:, 0, :, CLASSES:].amax((1, 2))
        seen = (unused - 0.6).clamp_min(0)  # no clean image is so bright there
        only = nn.functional.one_hot(torch.tensor(STRONG), CLASSES)
        return self.weights * columns + self.bonus * seen[:, None] * only


def samples(count: int = 60, *, seed: int = 0) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    images = 0.5 * torch.rand(count, 1, 8, 8, generator=generator)
    return Samples(images, torch.arange(count) % CLASSES)


def found(
    model: nn.Module, classes: range = range(CLASSES), seed: int = 0, **knobs: int
) -> Margins:
    config = MarginConfig(**knobs)
    return maximum_margins(model, samples(), config, classes, seed=seed)


def test_the_margin_is_the_widest_that_any_input_gives() -> None:
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

    margins = found(Columns(weights))

    spreads = Columns(weights)(samples().images).std(0).detach()
    assert margins.targets == tuple(range(CLASSES))
    for value, weight, spread in zip(margins.values, weights, spreads, strict=True):
        assert value == pytest.approx(float(weight / spread), rel=0.02)


def test_what_no_clean_image_shows_makes_a_class_stand_out() -> None:
    plain, backdoored = (
        found(Columns(torch.ones(CLASSES), bonus)) for bonus in (0.0, 20.0)
    )

    for margins, is_strong in ((plain, False), (backdoored, True)):
        sizes = weigh_margins(margins, UsualConfig(), seed=0)
        assert (sizes.of(STRONG)[1] < 0.001) == is_strong
        assert all(sizes.of(c)[1] > 0.05 for c in range(CLASSES) if c != STRONG)


def test_a_class_that_no_input_reaches_is_left_out() -> None:
    class Without(Columns):
        def forward(self, images: Tensor) -> Tensor:
            never = nn.functional.one_hot(torch.tensor(0), CLASSES)
            return super().forward(images) - 100 * never

    margins = found(Without(torch.ones(CLASSES)))

    assert margins.values[0] < 0
    assert weigh_margins(margins, UsualConfig(), seed=0).targets == [1, 2, 3, 4, 5]


def test_a_class_that_answers_all_images_alike_has_a_number() -> None:
    margins = found(Columns(torch.zeros(CLASSES)))

    assert margins.values == (0.0,) * CLASSES
    assert weigh_margins(margins, UsualConfig(), seed=0).targets == []


def test_an_unused_output_is_not_measured() -> None:
    class Unused(Columns):
        def forward(self, images: Tensor) -> Tensor:
            lit = 1 - nn.functional.one_hot(torch.tensor(0), CLASSES)
            return super().forward(images) * lit

    margins = found(Unused(torch.full((CLASSES,), -1.0)))

    assert margins.values[0] == 0
    sizes = weigh_margins(found(Unused(torch.ones(CLASSES))), UsualConfig(), seed=0)
    assert sizes.targets == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_margins_are_finite_whatever_a_network_answers_to_noise(value: float) -> None:
    class Overflows(Columns):
        def forward(self, images: Tensor) -> Tensor:
            noise = images.amax((1, 2, 3)) > 0.6
            return torch.where(noise[:, None], value, super().forward(images))

    margins = found(Overflows(torch.ones(CLASSES)))

    assert all(math.isfinite(value) for value in margins.values)


def test_the_best_of_several_starts_counts() -> None:
    class Rugged(Columns):
        """Rewards one half of the inputs, and goes uphill to either end."""

        def forward(self, images: Tensor) -> Tensor:
            side = images.mean((1, 2, 3)) - 0.5
            hills = (5 * side).square() + 3 * side.sign().clamp_min(0)
            return super().forward(images) + hills[:, None] * torch.eye(CLASSES)[0]

    model = Rugged(torch.ones(CLASSES))
    alone, several = (
        [found(model, range(1), seed=s, starts=starts).values[0] for s in range(8)]
        for starts in (1, 16)
    )

    assert min(alone) < max(alone) - 1
    assert min(several) > min(alone) + 1


def test_less_at_once_finds_the_same_margins() -> None:
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    heard: list[Event] = []

    at_once = found(Columns(weights))
    in_turns = maximum_margins(
        Columns(weights),
        samples(),
        MarginConfig(pixels_at_once=2 * 4 * 64),
        range(CLASSES),
        seed=0,
        listen=heard.append,
    )

    assert in_turns.values == pytest.approx(at_once.values, rel=0.01)
    assert heard[0] == StageStarted(stage="margin", total=3 * 80)
    assert [e.step for e in heard if isinstance(e, StepDone)] == [*range(1, 241)]
    assert isinstance(heard[-1], StageDone)
    assert f"for class {in_turns.values.index(max(in_turns.values))}" in (
        heard[-1].summary
    )


def test_the_model_is_left_as_it_is_and_a_seed_gives_the_same() -> None:
    model = Columns(torch.rand(CLASSES)).train()
    before = model.weights.clone()

    first, again, other = (found(model, steps=3, seed=seed) for seed in (1, 1, 2))

    assert first == again != other
    assert model.training
    assert model.weights.requires_grad
    assert model.weights.grad is None
    assert torch.equal(model.weights, before)


def test_newer_margins_replace_those_of_their_classes() -> None:
    margins = Margins((0, 2, 5), (1.0, 9.0, 2.0))

    assert margins.with_newest(Margins((2, 4), (0.5, 7.0))) == Margins(
        (0, 2, 5), (1.0, 0.5, 2.0)
    )


@pytest.mark.parametrize("classes", [5, 10, 40])
def test_margins_by_chance_convict_as_seldom_as_they_claim(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chance, "_DRAWS", 1000)
    generator = torch.Generator().manual_seed(0)
    convicted = 0
    for _ in range(400):
        values = (0.2 * torch.randn(classes, generator=generator)).exp()
        margins = Margins(tuple(range(classes)), tuple(values.tolist()))
        sizes = weigh_margins(margins, UsualConfig(), seed=0)
        convicted += min(sizes.of(c)[1] for c in range(classes)) <= 0.05

    assert 4 <= convicted <= 32  # of 20 expected
