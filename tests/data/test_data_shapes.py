from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from rnp_cli.data import shapes as shaping
from rnp_cli.data.shapes import InputShape, Known, accepted_shapes
from rnp_cli.errors import InputRefused, UsageError


def images(folder: Path, *sizes: tuple[int, int]) -> list[Path]:
    paths = []
    for number, (height, width) in enumerate(sizes):
        paths.append(folder / f"{number}.png")
        Image.new("RGB", (width, height)).save(paths[-1])
    return paths


def pooling(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def strict(channels: int, side: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, 5))


def accepted(
    paths: list[Path], *networks: nn.Module, **known: object
) -> tuple[list[list[InputShape]], int]:
    given = Known(**known)  # type: ignore[arg-type]
    return accepted_shapes(networks, paths, given, device=torch.device("cpu"))


def test_the_images_own_size_comes_first(tmp_path: Path) -> None:
    shapes, classes = accepted(images(tmp_path, (8, 8), (8, 8)), pooling(3))

    assert shapes == [[InputShape(3, (8, 8), "crop")]]
    assert classes == 2


def test_a_size_that_only_the_network_knows_is_found(tmp_path: Path) -> None:
    shapes, classes = accepted(images(tmp_path, (9, 9), (20, 10)), strict(1, 28))

    assert {(s.channels, s.size) for s in shapes[0]} == {(1, (28, 28))}
    assert {s.fit for s in shapes[0]} == {"crop", "squash"}
    assert classes == 5


def test_a_usual_size_is_tried_beside_the_images_own(tmp_path: Path) -> None:
    shapes, _ = accepted(images(tmp_path, (40, 40)), pooling(3), usual_size=32)

    assert [s.size for s in shapes[0]] == [(40, 40), (32, 32)]


def test_a_given_size_is_the_only_one_tried(tmp_path: Path) -> None:
    shapes, _ = accepted(images(tmp_path, (40, 40)), pooling(3), size=(6, 12))

    assert {s.size for s in shapes[0]} == {(6, 12)}


def test_each_network_has_its_own_list(tmp_path: Path) -> None:
    networks = strict(3, 8), strict(1, 8), strict(3, 9)

    shapes, _ = accepted(images(tmp_path, (8, 8)), *networks)

    assert [[s.channels for s in own] for own in shapes] == [[3], [1], []]


def test_a_network_that_accepts_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="3x8x8, 1x8x8") as refusal:
        accepted(images(tmp_path, (8, 8)), strict(3, 9))

    assert "--input-size" in refusal.value.hint


def test_outputs_that_are_no_logits_do_not_count(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="accepts none"):
        accepted(images(tmp_path, (8, 8)), nn.Conv2d(3, 2, 1))


class Particular(nn.Module):
    """Other people's code: it refuses a size in its own way."""

    def forward(self, images: Tensor) -> Tensor:
        assert images.shape[2] == 16, "only 16 pixels"
        return images.flatten(1)[:, :5]


def test_a_network_may_refuse_a_size_as_it_likes(tmp_path: Path) -> None:
    paths = images(tmp_path, (8, 8), (8, 8))

    shapes, classes = accepted(paths, Particular(), usual_size=16)

    assert ({s.size for s in shapes[0]}, classes) == ({(16, 16)}, 5)
    with pytest.raises(InputRefused, match="only 16 pixels"):
        accepted(paths, Particular())


def test_one_output_is_no_choice_of_classes(tmp_path: Path) -> None:
    single = nn.Sequential(nn.Conv2d(3, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    with pytest.raises(InputRefused, match="two or more classes"):
        accepted(images(tmp_path, (8, 8)), single)


def test_the_commonest_of_several_sizes_is_tried(tmp_path: Path) -> None:
    paths = images(tmp_path, (8, 8), (12, 12), (8, 8))

    shapes, _ = accepted(paths, strict(3, 8))

    assert {s.size for s in shapes[0]} == {(8, 8)}


def test_a_size_that_the_memory_does_not_hold_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shaping, "memory", lambda: 4 * (4 * 2 * 3 * 32 * 32))
    paths = images(tmp_path, (40, 40), (40, 40))

    shapes, _ = accepted(paths, pooling(3), usual_size=32)

    assert [s.size for s in shapes[0]] == [(32, 32)]
    gray, _ = accepted(paths, pooling(1), size=(55, 55), usual_channels=1)
    assert {s.channels for s in gray[0]} == {1}  # three would take too much


def test_a_gpu_without_memory_is_no_shape_that_is_not_accepted(tmp_path: Path) -> None:
    class Full(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError):
        accepted(images(tmp_path, (8, 8)), Full())


@pytest.mark.parametrize(
    ("known", "size", "hint"),
    [
        ({"size": (40, 50)}, "40x50", "fewer with --max-samples, or take"),
        ({"size": (33, 33), "usual_channels": 4}, "33x33", "--max-samples"),
        ({"usual_size": 224}, "224x224", "--input-size"),
        ({}, "33x33", "--input-size"),
    ],
)
def test_images_that_the_memory_does_not_hold_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    known: dict[str, object],
    size: str,
    hint: str,
) -> None:
    """A size that would fit does not count where the network's own is another."""
    monkeypatch.setattr(shaping, "memory", lambda: 4 * (4 * 2 * 3 * 32 * 32))
    side = 20 if "usual_size" in known else 33
    paths = images(tmp_path, (side, side), (side, side))

    with pytest.raises(UsageError, match=f"at {size}; a quarter of") as refusal:
        accepted(paths, pooling(3), **known)

    assert hint in refusal.value.hint
