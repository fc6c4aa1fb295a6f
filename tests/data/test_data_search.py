from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_nets import Shades, some_shades, write_shades
from torch import Tensor, nn

from rnp_cli.data.classifier import Output
from rnp_cli.data.conventions import CONVENTIONS, Convention
from rnp_cli.data.listing import list_images
from rnp_cli.data.search import Found, find_input_spec, information
from rnp_cli.data.shapes import InputShape
from rnp_cli.errors import UsageError

CLASSES = 24
CPU = torch.device("cpu")
BY_NAME = {convention.name: convention for convention in CONVENTIONS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shades(tmp_path_factory.mktemp("shades"), some_shades(CLASSES))


def find(
    folder: Path,
    *networks: nn.Module,
    channels: int = 3,
    labels: Tensor | None = None,
    convention: Convention | None = None,
) -> Found:
    listing = list_images(folder)
    given = torch.tensor([int(label) for label in listing.labels or ()])
    shapes = [[InputShape(channels, (4, 4), "crop")]] * len(networks)
    return find_input_spec(
        networks,
        listing.paths,
        given if labels is None else labels,
        shapes,
        convention,
        seed=0,
        device=CPU,
    )


@pytest.mark.parametrize("wanted", CONVENTIONS, ids=lambda c: c.name)
def test_the_convention_that_a_network_needs_is_found(
    folder: Path, wanted: Convention
) -> None:
    channels = len(wanted.mean)
    network = Shades(some_shades(CLASSES), wanted, channels=channels)

    found = find(folder, network, channels=channels)

    assert found.spec.convention == wanted
    assert found.spec.output == "logits"


@pytest.mark.parametrize(
    ("last", "output"),
    [(nn.Softmax(1), "probabilities"), (nn.LogSoftmax(1), "log-probabilities")],
)
def test_a_softmax_at_the_end_is_found_with_the_convention(
    folder: Path, last: nn.Module, output: Output
) -> None:
    wanted = BY_NAME["ImageNet"]
    network = nn.Sequential(Shades(some_shades(CLASSES), wanted), last)

    found = find(folder, network)

    assert (found.spec.convention, found.spec.output) == (wanted, output)


def test_of_two_readings_the_better_is_chosen(folder: Path) -> None:
    shades, wanted = some_shades(CLASSES), BY_NAME["[-1, 1]"]
    right, wrong = Shades(shades, wanted), Shades(shades.flip(0), wanted)

    assert find(folder, wrong, right).network == 1
    assert find(folder, right, wrong).network == 0
    assert find(folder, right, right).network == 0


def test_a_given_convention_is_taken_even_where_another_is_better(
    folder: Path,
) -> None:
    network = Shades(some_shades(CLASSES), BY_NAME["ImageNet"])
    given = Convention(name="given", mean=(0.2, 0.2, 0.2))

    assert find(folder, network, convention=given).spec.convention == given


def test_a_given_convention_for_other_channels_is_an_error_of_the_user(
    folder: Path,
) -> None:
    network = Shades(some_shades(CLASSES), BY_NAME["ImageNet"])
    given = Convention(name="given", mean=(0.5, 0.5))

    with pytest.raises(UsageError, match="channels"):
        find(folder, network, convention=given)


def test_sure_and_varied_predictions_are_the_most_informative() -> None:
    sure = 50 * torch.eye(4)
    unsure = torch.zeros(4, 4)
    one_class = 50 * torch.eye(4)[[0, 0, 0, 0]]

    assert information(sure) > 1
    assert information(unsure) == pytest.approx(0, abs=1e-6)
    assert information(one_class) == pytest.approx(0, abs=1e-6)
    assert information(sure) > information(sure / 20)
