from __future__ import annotations

import pytest
import torch
from tiny_nets import corner_net, corners
from torch import Tensor, nn

from rnp_cli.defense.augment import Augmentation, augment, bearable_augmentation
from rnp_cli.defense.samples import Samples, SplitSamples


def drawn(images: Tensor, seed: int = 0, **how: object) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return augment(images, Augmentation.model_validate(how), generator)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(16, 3, 6, 5, generator=torch.Generator().manual_seed(0)) + 0.1


def test_no_augmentation_leaves_images_alone(images: Tensor) -> None:
    assert torch.equal(drawn(images), images)


def test_a_flip_mirrors_some_images_and_no_others(images: Tensor) -> None:
    flipped = drawn(images, flip=True)

    mirrored = [torch.equal(a, b.flip(2)) for a, b in zip(flipped, images, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(flipped, images, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert any(mirrored)
    assert any(same)


def test_a_crop_moves_each_image_and_fills_with_black(images: Tensor) -> None:
    padding = 2
    cropped = drawn(images, crop_padding=padding)

    assert cropped.shape == images.shape
    padded = nn.functional.pad(images, (padding,) * 4)
    height, width = images.shape[2:]
    shifts = [(row, column) for row in range(5) for column in range(5)]
    found = [
        [
            (row, column)
            for row, column in shifts
            if torch.equal(crop, pad[:, row : row + height, column : column + width])
        ]
        for crop, pad in zip(cropped, padded, strict=True)
    ]
    assert all(len(matches) == 1 for matches in found)
    assert len({matches[0] for matches in found}) > 4


def test_the_generator_alone_decides(images: Tensor) -> None:
    how = {"flip": True, "crop_padding": 1}

    assert torch.equal(drawn(images, 3, **how), drawn(images, 3, **how))
    assert not torch.equal(drawn(images, 3, **how), drawn(images, 4, **how))


def test_a_network_that_tells_left_from_right_bears_no_flip(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    found = bearable_augmentation(skilled, samples.fit, seed=0)

    assert found == Augmentation(crop_padding=1, flip=False)


def test_a_network_that_sees_only_rows_bears_flips() -> None:
    halves = corners(64, seed=0)
    samples = Samples(halves.images, halves.labels // 2)  # top or bottom
    brightness = nn.Sequential(nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten())

    assert bearable_augmentation(brightness, samples, seed=0).flip


def test_a_network_that_needs_every_pixel_in_place_bears_nothing() -> None:
    images = torch.eye(64).view(64, 1, 8, 8)  # one bright pixel; the class is where
    samples = Samples(images, torch.arange(64))

    found = bearable_augmentation(nn.Flatten(), samples, seed=0)

    assert found == Augmentation(crop_padding=0, flip=False)


def test_the_padding_grows_with_the_images() -> None:
    samples = Samples(torch.ones(4, 1, 32, 32), torch.zeros(4, dtype=torch.long))
    constant = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # one class

    assert bearable_augmentation(constant, samples, seed=0).crop_padding == 4


def test_bearing_is_found_out_in_eval_mode_and_leaves_no_trace() -> None:
    network = corner_net().train()
    before = network[1].running_mean.clone()

    bearable_augmentation(network, corners(8, seed=0), seed=0)

    assert torch.equal(network[1].running_mean, before)
    assert all(module.training for module in network.modules())
