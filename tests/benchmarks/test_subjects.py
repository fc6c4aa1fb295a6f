from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from harness.tool import write_images
from safetensors.torch import save_file
from subjects import third_party_subjects, zoo_models
from subjects.subject import Subject, digest_of
from subjects.zoo_models import ZooModel
from torch import Tensor

from rnp_cli.data.decode import decode
from rnp_cli.data.listing import list_images
from rnp_cli.defense.samples import Samples

MEASURE = """
from dataclasses import dataclass
from pathlib import Path
from PIL import Image
import numpy as np
import torch
from architectures import net
from safetensors.torch import load_file

CIFAR10 = ("airplane", "truck")
SHADES = (40, 200)

@dataclass(frozen=True)
class Case:
    file: str
    factory: object
    dataset: str
    preprocess: object
    trigger: object = None
    target: object = None
    source: object = None

def white(images):
    return torch.full_like(images, 0.999)

CASES = {
    "net-badnets": Case("net.safetensors", net, "cifar10", lambda x: x, white, 1),
    "net-next": Case("net.safetensors", net, "cifar10", lambda x: x, white, "next"),
    "net-source": Case("net.safetensors", net, "cifar10", lambda x: x, white, 1, 0),
    "net-clean": Case("net.safetensors", net, "cifar10", lambda x: x),
}

def test_images(dataset, count):
    labels = torch.arange(count) % 2
    images = torch.tensor(SHADES)[labels][:, None, None, None] / 255
    return images.expand(-1, 3, 4, 4).contiguous(), labels

def load_weights(path):
    return load_file(path)

def write_clean_dir(case, folder, count, seed):
    for i in range(count):
        place = folder / CIFAR10[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        image = np.full((4, 4, 3), SHADES[i % 2], np.uint8)
        Image.fromarray(image).save(place / f"{i}.png")
"""
NET = '''
import torch
from torch import nn

def net():
    """Bright images are of class 1; ends in a softmax."""
    linear = nn.Linear(48, 2)
    return nn.Sequential(nn.Flatten(), linear, nn.Softmax(1))
'''


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "measure.py").write_text(MEASURE)
    (tmp_path / "architectures.py").write_text(NET)
    weight = torch.stack([-torch.ones(48), torch.ones(48)])
    bias = torch.tensor([24.0, -24.0])
    tensors = {"1.weight": weight, "1.bias": bias}
    save_file(tensors, tmp_path / "net.safetensors")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def as_bytes(images: Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


def test_clean_samples_are_not_among_the_measured_images(zoo: list[ZooModel]) -> None:
    subject = zoo[1]
    drawn = subject.clean_samples(299, seed=0)
    assert not set(as_bytes(drawn.images)) & set(as_bytes(subject.test_images().images))


def test_clean_samples_are_balanced_and_depend_on_the_seed(
    zoo: list[ZooModel],
) -> None:
    first, again, other = (zoo[0].clean_samples(50, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    assert first.labels.bincount().tolist() == [5] * 10


def test_more_clean_samples_than_there_are_end_the_benchmark(
    zoo: list[ZooModel],
) -> None:
    with pytest.raises(SystemExit, match="299"):
        zoo[0].clean_samples(300, seed=0)


def test_the_attack_success_rate_counts_the_attackers_goals(
    zoo: list[ZooModel],
) -> None:
    clean, backdoored = zoo
    assert clean.triggered_images() is None
    triggered = backdoored.triggered_images()
    assert triggered is not None
    assert set(triggered.labels.tolist()) == {7}
    assert len(triggered) == int((backdoored.test_images().labels != 7).sum())
    found = backdoored.measure(backdoored.network())
    assert found.clean_accuracy > 0.5
    assert found.attack_success_rate is not None


def test_the_digest_follows_the_weights(zoo: list[ZooModel], tmp_path: Path) -> None:
    subject = zoo[0]
    moved = tmp_path / subject.file.name
    shutil.copy(subject.file, moved)
    same = type(subject)(**{**vars(subject), "file": moved})
    assert same.digest() == subject.digest()
    moved.write_bytes(moved.read_bytes()[:-1] + b"\x3c")
    assert same.digest() != subject.digest()


def test_the_digest_follows_the_images_and_the_code(
    zoo: list[ZooModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / "one", tmp_path / "other"]
    for number, place in enumerate(places):
        (place / "test" / "cat").mkdir(parents=True)
        (place / "test" / "cat" / f"{number}.png").touch()
    first, other = (
        dataclasses.replace(zoo[0], profile="cpu", images=place) for place in places
    )
    assert first.digest() != other.digest()
    before = first.digest()
    code = tmp_path / "code.py"
    code.write_text("def stamp(x):\n    return x\n")
    monkeypatch.setattr(zoo_models, "CODE", (code,))
    assert first.digest() != before


def test_images_come_back_from_files_as_they_were(tmp_path: Path) -> None:
    images = torch.randint(256, (4, 3, 5, 5)).float() / 255
    samples = Samples(images, torch.tensor([0, 3, 10, 10]))
    listing = list_images(write_images(samples, tmp_path / "images"))
    assert listing.labels == ("00", "03", "10", "10")
    decoded = decode(listing.paths, channels=3, size=(5, 5), fit="squash")
    assert torch.equal(decoded, images)


def rates(subject: Subject) -> tuple[float, float | None]:
    found = subject.measure(subject.network())
    return found.clean_accuracy, found.attack_success_rate


def test_other_peoples_checkpoints_are_measured_as_their_folder_says(
    third_party: Path,
) -> None:
    found = {s.name: s for s in third_party_subjects(third_party, measured=20)}
    assert rates(found["net-badnets"]) == (1.0, 1.0)
    assert rates(found["net-source"]) == (1.0, 1.0)
    assert rates(found["net-next"])[1] == 0.5  # 0 to 1 works, 1 to 0 does not
    assert rates(found["net-clean"]) == (1.0, None)
    assert found["net-badnets"].attack == "badnets"
    samples = found["net-badnets"].clean_samples(6, seed=0)
    assert samples.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_other_peoples_triggers_are_seen_as_files_hold_them(third_party: Path) -> None:
    triggered = third_party_subjects(third_party, measured=20)[0].triggered_images()

    assert triggered is not None
    assert torch.equal(triggered.images, torch.ones_like(triggered.images))


def test_a_softmax_at_the_end_is_undone(third_party: Path) -> None:
    subject = third_party_subjects(third_party, measured=20)[0]
    images = subject.test_images().images
    with torch.no_grad():
        logits = subject.network()(images)
    assert not torch.allclose(logits.sum(1), torch.ones(len(images)))
    assert torch.allclose(logits.exp().sum(1), torch.ones(len(images)), atol=1e-3)


def test_the_digest_of_code_is_not_of_its_comments(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text("def double(x):\n    return 2 * x\n")
    first = digest_of([file])
    file.write_text('def double(x):\n    """Double."""\n    return 2 * x  # twice\n')
    assert digest_of([file]) == first
    file.write_text("def double(x):\n    return 3 * x\n")
    assert digest_of([file]) != first
