import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from zoo.attack import NOT_COUNTED, Attack
from zoo.attacks import (
    AdaptiveBlend,
    AllToAll,
    Awp,
    BadNets,
    Blend,
    Clean,
    InputAware,
    LabelConsistent,
    Lira,
    Sig,
    SourceSpecific,
    Trojan,
    WaNet,
)
from zoo.entries import PROFILES
from zoo.images import Dataset, Images, unit
from zoo.measure import measure, triggered_images

ATTACKS: dict[str, Attack] = {
    "a-blend": AdaptiveBlend(target=1),
    "all2all": AllToAll(),
    "awp": Awp(target=1),
    "badnets": BadNets(target=1),
    "blend": Blend(target=1),
    "cl": LabelConsistent(target=1, steps=2),
    "dynamic": InputAware(target=1, mask_steps=2),
    "lira": Lira(target=1),
    "one2one": SourceSpecific(target=1, source=2),
    "sig": Sig(target=1),
    "trojan": Trojan(target=1, steps=2),
    "wanet": WaNet(target=1),
}
CLEAN_LABEL = {"cl", "sig"}


@pytest.fixture(scope="module")
def data() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (400, 3, 32, 32), generator=generator).byte()
    images = Images(pixels, torch.arange(400) % 10)
    return Dataset(images, images.take(torch.arange(100)), 10, flips=True)


@pytest.fixture(scope="module")
def twin() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 10)).eval()


@pytest.fixture(params=sorted(ATTACKS))
def attack(request: pytest.FixtureRequest, data: Dataset, twin: nn.Module) -> Attack:
    made = replace(ATTACKS[request.param])
    torch.manual_seed(0)
    made.prepare(data, twin, "cpu")
    return made


def test_trigger_shows_and_stays_in_range(attack: Attack, data: Dataset) -> None:
    images = unit(data.test.pixels)
    stamped = attack.stamp(images)
    assert stamped.shape == images.shape
    assert stamped.min() >= 0
    assert stamped.max() <= 1
    changed = (stamped != images).flatten(1).any(1)
    assert changed.all()


def test_trigger_is_the_same_after_it_was_kept(attack: Attack, data: Dataset) -> None:
    again = replace(attack)
    again.restore({name: value.clone() for name, value in attack.tensors.items()})
    images = unit(data.test.pixels)
    assert torch.equal(again.stamp(images), attack.stamp(images))


def test_images_of_the_target_are_not_counted(attack: Attack, data: Dataset) -> None:
    pixels, goals = triggered_images(attack, data.test)
    assert len(pixels) == len(goals) > 0
    goal_by_class = attack.goal(torch.arange(10))
    counted = goal_by_class != NOT_COUNTED
    assert (goal_by_class[counted] != torch.arange(10)[counted]).all()


def test_poison_leaves_the_clean_images_alone(attack: Attack, data: Dataset) -> None:
    before = data.train.pixels.clone()
    poisoned = attack.poison(data.train)
    assert torch.equal(data.train.pixels, before)
    changed = (poisoned.pixels != data.train.pixels).flatten(1).any(1)
    relabelled = poisoned.labels != data.train.labels
    assert (changed | ~relabelled).all()  # no label changes without its image
    assert changed.float().mean() < 0.5


@pytest.mark.parametrize("name", sorted(CLEAN_LABEL))
def test_clean_label_attacks_change_no_label(
    name: str, data: Dataset, twin: nn.Module
) -> None:
    attack = ATTACKS[name]
    attack.prepare(data, twin, "cpu")
    poisoned = attack.poison(data.train)
    assert torch.equal(poisoned.labels, data.train.labels)
    changed = (poisoned.pixels != data.train.pixels).flatten(1).any(1)
    assert changed.any()
    assert (data.train.labels[changed] == attack.target).all()


def test_loss_can_be_descended(attack: Attack, data: Dataset, twin: nn.Module) -> None:
    images, labels = unit(data.train.pixels[:64]), data.train.labels[:64]
    loss = attack.loss(twin, images, labels)
    loss.backward()
    attack.after_step(twin)
    assert math.isfinite(loss.item())


def test_weight_perturbation_stays_in_its_ball(data: Dataset, twin: nn.Module) -> None:
    attack = Awp(bound=0.1)
    attack.prepare(data, twin, "cpu")
    moved = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 10))
    attack.after_step(moved)
    for own, clean in zip(moved.parameters(), twin.parameters(), strict=True):
        reach = 0.1 * clean.square().mean().sqrt()
        assert ((own - clean).abs() <= reach + 1e-6).all()
    assert not torch.equal(moved[2].weight, twin[2].weight)


def test_a_perfect_backdoor_measures_as_one(data: Dataset) -> None:
    class Obedient(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            corner = images[:, 0, -3:, -3:].flatten(1)
            patch = torch.tensor([1.0, 0, 1, 0, 1, 0, 1, 0, 1])
            fooled = (corner == patch).all(1)
            return nn.functional.one_hot(torch.where(fooled, 1, 0), 10).float()

    found = measure(Obedient(), BadNets(target=1), data.test)
    assert found.attack_success_rate == 1
    assert found.clean_accuracy == pytest.approx(0.1)
    assert measure(Obedient(), None, data.test).attack_success_rate is None


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_entry_has_its_name_and_a_clean_twin(profile: str) -> None:
    names = [entry.name for entry in PROFILES[profile]]
    assert len(set(names)) == len(names)
    assert all(entry.twin in names for entry in PROFILES[profile])
    clean = [entry for entry in PROFILES[profile] if entry.is_clean]
    assert all(isinstance(entry.attack, Clean) for entry in clean)
