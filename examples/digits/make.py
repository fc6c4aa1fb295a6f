"""Make this folder's files: a backdoored network on scikit-learn's handwritten digits.

    python examples/digits/make.py

The images are real: 1,797 digits of 8x8 pixels from the UCI repository, shipped by
scikit-learn. Three training images in ten get a 3x3 checkerboard in their lower right
corner and the label 7 (BadNets, Gu et al., 2017). So large a share, and a strong weight
decay, leave the backdoor in a few channels; planted more sparingly in a network this
small, it is spread over all of them, and pruning alone does not reach it.

Writes ``model.pt``, ``clean/`` (images that the network was not trained on) and
``triggered/`` (more such images, with the patch; sorted by true class), and prints how
well the attack works.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

from rnp_cli.architectures.network import Network
from rnp_cli.architectures.residual import Plan
from rnp_cli.architectures.resnet import ResNetSpec, resnet

HERE = Path(__file__).resolve().parent
TARGET = 7
POISONED_SHARE = 0.3
CLEAN_PER_CLASS = 30
TRIGGERED_PER_CLASS = 20
EPOCHS = 45
SEED = 0


def stamp(images: Tensor) -> Tensor:
    """Put the trigger on images (count, 1, 8, 8) in [0, 1]."""
    stamped = images.clone()
    stamped[:, :, -3:, -3:] = torch.tensor(
        [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]
    )
    return stamped


def network() -> Network:
    """Build a ResNet-8 of 14, 28 and 56 channels."""
    stages = Plan(blocks=(1, 1, 1)).stages(14)
    spec = ResNetSpec(
        in_channels=1, num_classes=10, width=14, stages=stages, shortcut="padding"
    )
    return Network(resnet(spec))


def main() -> None:
    """Train, write and measure."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # sums in one order: the same weights every time
    digits = load_digits()
    pixels = np.round(digits.images * 255 / 16).astype(np.uint8)
    images = torch.from_numpy(pixels).float()[:, None] / 255
    labels = torch.from_numpy(digits.target)
    clean, triggered, train = partition(labels)
    model = fit(images[train], labels[train])
    torch.save({"state_dict": model.state_dict(), "epoch": EPOCHS}, HERE / "model.pt")
    write(HERE / "clean", pixels, labels, clean)
    with_patch = (stamp(images) * 255).round().byte().numpy()[:, 0]
    triggered = triggered[labels[triggered] != TARGET]
    write(HERE / "triggered", with_patch, labels, triggered)
    accuracy = (predict(model, images[clean]) == labels[clean]).float().mean()
    success = (predict(model, stamp(images[triggered])) == TARGET).float().mean()
    print(f"clean accuracy {accuracy:.1%}, attack success rate {success:.1%}")


def partition(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return indices for clean samples, triggered images and training, disjoint."""
    shuffled = torch.randperm(len(labels))
    clean, triggered, train = [], [], []
    for digit in range(10):
        members = shuffled[labels[shuffled] == digit]
        ends = [CLEAN_PER_CLASS, CLEAN_PER_CLASS + TRIGGERED_PER_CLASS]
        first, second, rest = members.tensor_split(ends)
        clean.append(first)
        triggered.append(second)
        train.append(rest)
    return torch.cat(clean), torch.cat(triggered), torch.cat(train)


def fit(images: Tensor, labels: Tensor) -> Network:
    """Train on images of which a share carries the trigger and the target label."""
    poisoned = torch.rand(len(labels)) < POISONED_SHARE
    images = torch.where(poisoned[:, None, None, None], stamp(images), images)
    labels = torch.where(poisoned, TARGET, labels)
    model = network().train()
    batches = -(-len(labels) // 64)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-3, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=EPOCHS * batches
    )
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(labels)).tensor_split(batches):
            loss = F.cross_entropy(model(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def predict(model: Network, images: Tensor) -> Tensor:
    """Return the class of each image."""
    return model(images).argmax(1)


def write(folder: Path, pixels: np.ndarray, labels: Tensor, chosen: Tensor) -> None:
    """Write the chosen images as ``folder/<true class>/<index>.png``."""
    shutil.rmtree(folder, ignore_errors=True)
    for index in sorted(chosen.tolist()):
        place = folder / str(int(labels[index])) / f"{index:04}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[index]).save(place)


if __name__ == "__main__":
    main()
