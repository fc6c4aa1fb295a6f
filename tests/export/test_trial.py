from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rnp_cli.errors import ExitCode, RnpError
from rnp_cli.export.trial import Trial


def doubled(images: Tensor) -> Tensor:
    return images * 2


def make(largest: float = 1.0) -> Trial:
    """Logits are the pixels of 600 images, as the network takes them."""
    logits = torch.rand(600, 5, generator=torch.Generator().manual_seed(0))
    logits[0, 0] = 1.0
    images = logits.view(600, 5, 1, 1) * largest / 2
    return Trial(nn.Flatten(), images, doubled)


def shifted(by: float) -> nn.Module:
    """Answers the same, but for one logit of each image."""

    class Shifted(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            logits = images.flatten(1).clone()
            rows = torch.arange(len(logits))
            logits[rows, logits.argmin(1)] -= by
            return logits

    return Shifted()


def test_the_same_answers_pass_and_one_image_is_asked_alone() -> None:
    sizes: list[int] = []

    def answer(images: Tensor) -> Tensor:
        sizes.append(len(images))
        return images.flatten(1)

    make().check(answer, "It")

    assert sizes[0] == 1
    assert sum(sizes[1:]) == 599
    assert max(sizes) > 1


@pytest.mark.parametrize(
    ("largest", "by", "passes"),
    [(1, 9e-5, True), (1, 2e-4, False), (100, 9e-3, True), (100, 2e-2, False)],
)
def test_outputs_may_differ_by_a_ten_thousandth_of_the_largest(
    largest: float, by: float, passes: bool
) -> None:
    trial = make(largest)

    if passes:
        trial.check(shifted(by), "It")
        return
    with pytest.raises(RnpError, match="0 of 600 clean images") as error:
        trial.check(shifted(by), "It")
    assert error.value.exit_code is ExitCode.ERROR
    assert ".safetensors" in error.value.hint


def test_another_class_is_told_however_little_the_outputs_differ() -> None:
    trial = Trial(nn.Flatten(), torch.full((2, 3, 1, 1), 0.5), doubled)

    with pytest.raises(RnpError, match="2 of 2 clean images get another class"):
        trial.check(lambda x: x.flatten(1) + torch.tensor([0.0, 1e-6, 0.0]), "It")


def test_no_number_is_no_answer() -> None:
    with pytest.raises(RnpError, match="nan"):
        make().check(lambda images: images.flatten(1) * torch.nan, "It")
