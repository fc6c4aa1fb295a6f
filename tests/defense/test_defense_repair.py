from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from tiny_nets import (
    CORNERS,
    corner_net,
    corners,
    is_finite,
    same_state,
    snapshot,
    trained,
)
from torch import Tensor, nn

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.channels import Channel, find_channel_layers
from rnp_cli.defense.prune import prune, zeroed_rows
from rnp_cli.defense.repair import RepairConfig, Repaired, Round, Trigger, repair
from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import clean_accuracy, logits_of
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Event, StageDone, StageStarted, StepDone

TARGET = 0  # the class of the backdoor below
SHIFTS = Augmentation(crop_padding=2)
BRISK = {"learning_rate": 0.01, "epochs": 3}


@dataclass(frozen=True)
class Patch:
    """Four pixels from (row, column) on; a varied one is fainter.

    Like a warp, it cannot be laid on no image at all.
    """

    row: int = 3
    column: int = 3
    travels: bool = True

    def stamp(self, images: Tensor) -> Tensor:
        return self._lay(images, 1.0)

    def vary(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return self._lay(images, 0.9)

    def _lay(self, images: Tensor, strength: float) -> Tensor:
        assert len(images)
        stamped = images.clone()
        rows = slice(self.row, self.row + 2)
        stamped[:, :, rows, self.column : self.column + 2] = strength * torch.eye(2)
        return stamped


@dataclass
class Scripted:
    """Finds what it is told to, round after round, and then nothing."""

    finds: Sequence[Sequence[Trigger]]
    numbers: list[int] = field(default_factory=list)

    def recover(self, model: nn.Module, *, number: int) -> Sequence[Trigger]:
        self.numbers.append(number)
        return self.finds[number - 1] if number <= len(self.finds) else []


@dataclass
class Followed:
    """Finds the patch as long as the model follows it."""

    samples: Samples

    def recover(self, model: nn.Module, *, number: int) -> Sequence[Trigger]:
        return [Patch()] if follows(model, self.samples) > 0.1 else []


def follows(model: nn.Module, samples: Samples) -> float:
    others = samples.take((samples.labels != TARGET).nonzero()[:, 0])
    predicted = logits_of(model, Patch().stamp(others.images)).argmax(1)
    return (predicted == TARGET).float().mean().item()


def repaired(
    model: nn.Module,
    samples: SplitSamples,
    recovery: Any,
    *,
    original: nn.Module | None = None,
    augmentation: Augmentation | None = None,
    pruned: dict[str, list[int]] | None = None,
    seed: int = 0,
    listen: Any = lambda event: None,
    **knobs: Any,
) -> Repaired:
    return repair(
        model,
        original or model,
        samples,
        recovery,
        RepairConfig(**{**BRISK, **knobs}),
        augmentation=augmentation or Augmentation(),
        pruned=pruned or {},
        seed=seed,
        listen=listen,
    )


@pytest.fixture(scope="module")
def backdoored() -> nn.Module:
    """Sends whatever wears the patch to the class TARGET."""
    clean = corners(256, seed=3)
    images = torch.cat([clean.images, Patch().stamp(clean.images)])
    labels = torch.cat([clean.labels, torch.full_like(clean.labels, TARGET)])
    return trained(corner_net(), Samples(images, labels), epochs=2)


def test_the_trigger_is_followed_no_more_and_clean_accuracy_stays(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    unseen = corners(64, seed=9)
    before = clean_accuracy(backdoored, unseen)
    assert follows(backdoored, unseen) > 0.9

    found = repaired(backdoored, samples, Followed(samples.holdout))

    assert found.is_exhausted
    assert follows(found.model, unseen) < 0.2
    assert clean_accuracy(found.model, unseen) > before - 0.05
    accuracy = clean_accuracy(found.model, samples.holdout)
    assert found.rounds[-1] == Round(triggers=1, clean_accuracy=accuracy)


def test_no_round_comes_after_nothing_was_recovered(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    recovery = Scripted([[Patch()], [Patch(), Patch(5, 5)], [], [Patch()]])

    found = repaired(skilled, samples, recovery)

    assert recovery.numbers == [1, 2, 3]
    assert [r.triggers for r in found.rounds] == [1, 2]
    assert found.is_exhausted


def test_the_last_round_is_followed_by_one_more_look(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    endless, ending = Scripted([[Patch()]] * 9), Scripted([[Patch()]] * 2)

    stopped = repaired(skilled, samples, endless, max_rounds=2, epochs=1)
    ended = repaired(skilled, samples, ending, max_rounds=2, epochs=1)

    assert endless.numbers == ending.numbers == [1, 2, 3]
    assert len(stopped.rounds) == len(ended.rounds) == 2
    assert not stopped.is_exhausted
    assert ended.is_exhausted


def test_where_nothing_is_recovered_the_copy_is_unchanged(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    found = repaired(skilled, samples, Scripted([]))

    assert (found.rounds, found.is_exhausted) == ((), True)
    assert found.model is not skilled
    assert same_state(found.model, snapshot(skilled))


def test_a_round_tells_the_clean_accuracy_that_it_left(samples: SplitSamples) -> None:
    model = corner_net().eval()
    recovery = Scripted([[Patch()]] * 3)

    found = repaired(model, samples, recovery, distillation=0.0)

    accuracy = clean_accuracy(found.model, samples.holdout)
    assert found.rounds[-1].clean_accuracy == accuracy
    assert accuracy > clean_accuracy(model, samples.holdout)


def test_recovery_is_shown_the_model_as_it_is_now(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    shown: list[dict[str, Tensor]] = []

    class Watching(Scripted):
        def recover(self, model: nn.Module, *, number: int) -> Sequence[Trigger]:
            shown.append(snapshot(model))
            return super().recover(model, number=number)

    found = repaired(skilled, samples, Watching([[Patch()]]))

    assert same_state(skilled, shown[0])
    assert same_state(found.model, shown[1])
    assert not same_state(skilled, shown[1])


def test_pruned_rows_stay_zero_while_the_others_move(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    layers = find_channel_layers(skilled, samples.fit.images[:2])
    channels = [Channel(layer.name, i) for layer in layers for i in (0, 2, 5)]
    cut = prune(skilled, layers, channels)
    rows = zeroed_rows(layers, channels)

    found = repaired(
        cut, samples, Scripted([[Patch()]] * 2), original=skilled, pruned=rows
    )

    before, after = dict(cut.named_parameters()), dict(found.model.named_parameters())
    assert rows
    for name, zeros in rows.items():
        left = sorted(set(range(len(before[name]))) - set(zeros))
        assert (after[name][zeros] == 0).all()
        assert (after[name][left] != before[name][left]).any()


def test_batchnorm_keeps_its_statistics(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    found = repaired(skilled.train(), samples, Scripted([[Patch()]]))

    before, after = dict(skilled.named_buffers()), dict(found.model.named_buffers())
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(module.training for module in found.model.modules())
    moved = zip(skilled.parameters(), found.model.parameters(), strict=True)
    assert all(not torch.equal(old, new) for old, new in moved)


def test_the_callers_models_stay_as_they_were(
    skilled: nn.Module, backdoored: nn.Module, samples: SplitSamples
) -> None:
    skilled.train()[1].eval()
    skilled[0].requires_grad_(False)
    models = (skilled, backdoored)
    for model in models:
        model.zero_grad()
    before = [snapshot(model) for model in models]
    modes = [[m.training for m in model.modules()] for model in models]
    grads = [[p.requires_grad for p in model.parameters()] for model in models]

    found = repaired(skilled, samples, Scripted([[Patch()]]), original=backdoored)

    assert all(same_state(m, state) for m, state in zip(models, before, strict=True))
    assert [[m.training for m in model.modules()] for model in models] == modes
    assert [[p.requires_grad for p in model.parameters()] for model in models] == grads
    assert all(p.grad is None for model in models for p in model.parameters())
    assert [p.requires_grad for p in found.model.parameters()] == grads[0]
    assert not same_state(found.model, before[0])
    assert not torch.equal(found.model[0].weight, skilled[0].weight)


def test_the_seed_decides_and_the_callers_randomness_stays(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    def state(seed: int) -> dict[str, Tensor]:
        recovery = Scripted([[Patch(), Patch(travels=False)]] * 2)
        found = repaired(skilled, samples, recovery, augmentation=SHIFTS, seed=seed)
        return snapshot(found.model)

    before = torch.random.get_rng_state()
    first = state(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(7)
    again, other = state(1), state(2)

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_weights_that_turn_nan_end_the_repair(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    with pytest.raises(DefenseFailed, match="not finite") as failed:
        repaired(skilled, samples, Scripted([[Patch()]]), learning_rate=1e30)

    assert "repair.learning_rate" in failed.value.hint
    assert is_finite(skilled)


def test_the_originals_answers_are_kept_the_more_the_more_they_weigh(
    skilled: nn.Module, backdoored: nn.Module, samples: SplitSamples
) -> None:
    def distance(weight: float) -> float:
        found = repaired(
            skilled,
            samples,
            Scripted([[Patch()]] * 3),
            original=backdoored,
            distillation=weight,
        )
        images = samples.holdout.images
        given, kept = logits_of(found.model, images), logits_of(backdoored, images)
        return (given.softmax(1) - kept.softmax(1)).abs().mean().item()

    assert distance(20.0) < distance(0.0)


def test_rounds_are_announced(skilled: nn.Module, samples: SplitSamples) -> None:
    heard: list[Event] = []

    found = repaired(
        skilled, samples, Scripted([[Patch()]] * 2), max_rounds=5, listen=heard.append
    )

    assert heard[0] == StageStarted(stage="repair", total=5)
    assert heard[1:-1] == [
        StepDone(stage="repair", step=n, clean_accuracy=done.clean_accuracy)
        for n, done in enumerate(found.rounds, start=1)
    ]
    assert isinstance(heard[-1], StageDone)
    assert heard[-1].stage == "repair"


def shown_to(
    samples: SplitSamples, finds: Sequence[Sequence[Trigger]], **knobs: Any
) -> tuple[Tensor, Tensor]:
    """Return the images that a repair fits its model to: clean, and stamped."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, CORNERS))
    fits: list[Tensor] = []

    def watch(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if torch.is_grad_enabled():
            fits.append(args[0])

    model.register_forward_pre_hook(watch)  # the copy keeps it
    knobs = {"augmentation": SHIFTS, "shifted": 0.5, "varied": 0.0, **knobs}
    repaired(model, samples, Scripted(finds), **knobs)
    clean, stamped = zip(*(batch.chunk(2) for batch in fits), strict=True)
    return torch.cat(clean), torch.cat(stamped)


def wears(images: Tensor, patch: Patch, strength: float = 1.0) -> Tensor:
    """Whether each image wears the patch where it belongs (image,)."""
    rows, columns = (slice(n, n + 2) for n in (patch.row, patch.column))
    seen = images[:, 0, rows, columns]
    return (seen == strength * torch.eye(2)).flatten(1).all(1)


def test_a_patch_is_shifted_with_half_of_the_images(samples: SplitSamples) -> None:
    clean, stamped = shown_to(samples, [[Patch()]])

    in_place = wears(stamped, Patch())
    assert not wears(clean, Patch()).any()
    assert 0.4 < in_place.float().mean() < 0.65  # one shift of 25 is none
    moved = stamped[~in_place]
    assert all(_wears_anywhere(image) for image in moved)
    late = (stamped == Patch().stamp(clean)).flatten(1).all(1)
    assert late.float().mean() > 0.35


def _wears_anywhere(image: Tensor) -> bool:
    places = [Patch(row, column) for row in range(7) for column in range(7)]
    return any(bool(wears(image[None], place)) for place in places)


@pytest.mark.parametrize("shifted", [0.0, 1.0])
def test_the_share_of_patches_that_are_shifted_is_a_knob(
    samples: SplitSamples, shifted: float
) -> None:
    _, stamped = shown_to(samples, [[Patch()]], shifted=shifted)

    share = wears(stamped, Patch()).float().mean()
    assert share == 1 if shifted == 0 else share < 0.2


def test_what_has_its_place_is_never_shifted(samples: SplitSamples) -> None:
    fixed = Patch(travels=False)
    clean, stamped = shown_to(samples, [[fixed]], shifted=1.0)

    assert torch.equal(stamped, fixed.stamp(clean))


def test_only_the_one_of_two_triggers_that_travels_is_shifted(
    samples: SplitSamples,
) -> None:
    fixed, free = Patch(0, 0, travels=False), Patch()
    _, stamped = shown_to(samples, [[fixed, free]], shifted=1.0)

    assert 0.3 < wears(stamped, fixed).float().mean() < 0.7
    assert wears(stamped, free).float().mean() < 0.2


@pytest.mark.parametrize(("newest", "share"), [(1.0, 0.5), (3.0, 0.75), (9.0, 0.9)])
def test_earlier_triggers_are_still_stamped_beside_the_newest(
    samples: SplitSamples, newest: float, share: float
) -> None:
    first, second = Patch(0, 0), Patch(5, 5)
    _, stamped = shown_to(
        samples, [[first], [second]], newest=newest, augmentation=Augmentation()
    )

    early, late = stamped.chunk(2)
    assert wears(early, first).all()
    assert (wears(late, first) ^ wears(late, second)).all()
    assert wears(late, second).float().mean().item() == pytest.approx(share, abs=0.1)


def test_the_last_that_is_found_alone_does_not_push_the_others_out(
    samples: SplitSamples,
) -> None:
    first = [Patch(row, 0) for row in range(6)]
    last = Patch(5, 5)
    _, stamped = shown_to(samples, [first, [last]], augmentation=Augmentation())

    late = stamped.chunk(2)[1]
    assert wears(late, last).float().mean().item() == pytest.approx(1 / 3, abs=0.1)


def test_some_stamps_are_only_much_like_the_trigger(samples: SplitSamples) -> None:
    _, stamped = shown_to(samples, [[Patch()]], varied=0.3, augmentation=Augmentation())

    same, alike = wears(stamped, Patch()), wears(stamped, Patch(), strength=0.9)
    assert (same ^ alike).all()
    assert alike.float().mean().item() == pytest.approx(0.3, abs=0.1)


def widened(model: nn.Sequential, times: int) -> nn.Sequential:
    """Put each hidden channel there several times; the answers stay (Net2Net)."""
    wide = copy.deepcopy(model)
    layers = [m for m in wide if isinstance(m, (nn.Conv2d, nn.Linear))]
    for layer in layers:
        weight = layer.weight.detach()
        if layer is not layers[0]:
            spread = weight.repeat_interleave(times, 1)
            if isinstance(layer, nn.Linear):  # each channel is four features
                spread = weight.unflatten(1, (-1, 4)).repeat_interleave(times, 1)
                spread = spread.flatten(1)
            weight = spread / times
        if layer is not layers[-1]:
            weight = weight.repeat_interleave(times, 0)
        layer.weight = nn.Parameter(weight)
    for number, layer in enumerate(wide):
        if isinstance(layer, nn.BatchNorm2d):
            wider = nn.BatchNorm2d(times * layer.num_features)
            kept = layer.state_dict()
            wider.load_state_dict(
                {
                    k: v.repeat_interleave(times) if v.ndim else v
                    for k, v in kept.items()
                }
            )
            wide[number] = wider
    return wide.eval()


def test_a_wide_network_bears_a_repair_as_a_narrow_one_does(
    samples: SplitSamples,
) -> None:
    thin = corner_net()
    trained(thin, corners(256, seed=3), epochs=2)
    wide, images = widened(thin, 64), samples.holdout.images
    answers = logits_of(thin, images)
    torch.testing.assert_close(logits_of(wide, images), answers, atol=1e-4, rtol=1e-4)

    def moved(model: nn.Module, **knobs: Any) -> float:
        """Root mean square of how far clean answers are from what they were."""
        fixed = repaired(model, samples, Scripted([[Patch()]]), **knobs)
        return (logits_of(fixed.model, images) - answers).square().mean().sqrt().item()

    narrow = moved(thin)
    assert moved(wide) < 2 * narrow
    assert moved(wide, largest_step=1e9) > 4 * narrow


class Scaled(nn.Module):
    """A network behind parameters that start at zero, or are vectors in disguise."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.shift = nn.Parameter(torch.zeros(1, 1, 8, 8))
        self.scale = nn.Parameter(torch.full((CORNERS, 1, 1), 1e-3))

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images + self.shift) * (1 + self.scale[:, 0, 0])


def test_vectors_and_what_is_zero_move_at_the_usual_rate(
    samples: SplitSamples, backdoored: nn.Module
) -> None:
    model = Scaled(copy.deepcopy(backdoored)).eval()
    fixed = repaired(model, samples, Scripted([[Patch()]]))
    state = fixed.model.state_dict()
    assert state["shift"].abs().max() > BRISK["learning_rate"]
    assert (state["scale"] - 1e-3).abs().max() > BRISK["learning_rate"]
