from __future__ import annotations

import pytest
import torch

from rnp_cli.data.split import split
from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.errors import InputRefused


def numbered(labels: list[int]) -> Samples:
    """Samples whose one pixel is their number."""
    images = torch.arange(len(labels)).float().view(-1, 1, 1, 1)
    return Samples(images, torch.tensor(labels))


def halves(labels: list[int], *, share: float = 0.3, seed: int = 0) -> SplitSamples:
    return split(
        numbered(labels),
        num_classes=max(labels) + 1,
        holdout_share=share,
        seed=seed,
    )


def numbers(samples: Samples) -> list[int]:
    return samples.images.flatten().int().tolist()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_the_parts_are_disjoint_and_complete(share: float) -> None:
    labels = [n % 3 for n in range(50)]

    parts = halves(labels, share=share)

    assert sorted(numbers(parts.fit) + numbers(parts.holdout)) == list(range(50))
    for part in (parts.fit, parts.holdout):
        assert part.labels.tolist() == [labels[n] for n in numbers(part)]
    assert len(parts.holdout) == pytest.approx(50 * share, abs=1)


def test_every_class_gives_the_same_share() -> None:
    labels = [0] * 10 + [1] * 40 + [2] * 100

    held = torch.bincount(halves(labels).holdout.labels)

    assert held.tolist() == [3, 12, 30]


def test_the_seed_decides() -> None:
    labels = [n % 2 for n in range(40)]

    first, again, other = (numbers(halves(labels, seed=s).holdout) for s in (1, 1, 2))

    assert first == again
    assert first != other


@pytest.mark.parametrize(("count", "share"), [(2, 0.3), (3, 0.3), (4, 0.9)])
def test_too_few_samples_for_two_parts_are_refused(count: int, share: float) -> None:
    with pytest.raises(InputRefused, match=f"{count} clean samples"):
        halves([n % 2 for n in range(count)], share=share)
