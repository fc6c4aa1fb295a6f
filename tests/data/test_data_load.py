from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_nets import Shades, some_shades, write_flat, write_shades
from torch import Tensor, nn

from rnp_cli.data import better
from rnp_cli.data.better import BetterInput
from rnp_cli.data.conventions import Convention
from rnp_cli.data.load import CleanSamples, load_clean_samples
from rnp_cli.data.plausible import plausible_accuracy
from rnp_cli.data.search import Found
from rnp_cli.data.shapes import Known
from rnp_cli.errors import ExitCode, InputRefused, UsageError

CLASSES = 6
PLAIN = Convention(name="[0, 1]")


def load(
    folder: Path,
    *networks: nn.Module,
    limit: int = 1000,
    seed: int = 0,
    labels: Any = "folder",
    **known: Any,
) -> CleanSamples:
    return load_clean_samples(
        folder,
        networks,
        Known(**known),
        labels=labels,
        limit=limit,
        seed=seed,
        device=torch.device("cpu"),
    )


@pytest.fixture
def network() -> Shades:
    return Shades(some_shades(CLASSES), PLAIN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_shades(tmp_path / "clean", some_shades(CLASSES), each=4)


def test_labelled_samples_come_with_what_reads_them(
    folder: Path, network: Shades
) -> None:
    clean = load(folder, network)

    assert clean.clean_accuracy == 1.0
    assert clean.samples.images.shape == (4 * CLASSES, 3, 4, 4)
    assert clean.samples.labels.tolist() == [c for c in range(CLASSES) for _ in "four"]
    assert clean.class_names == tuple("012345")
    assert (clean.num_classes, clean.reading) == (CLASSES, 0)
    assert clean.spec.convention == PLAIN


def test_the_second_reading_of_the_weights_may_be_the_right_one(
    folder: Path, network: Shades
) -> None:
    blurred = nn.Sequential(nn.Upsample(scale_factor=2), nn.Sigmoid(), network)

    clean = load(folder, blurred, network)

    assert clean.reading == 1
    assert clean.classifier.network is network


def test_the_model_may_label_the_samples_itself(
    tmp_path: Path, network: Shades
) -> None:
    for number, shade in enumerate(some_shades(CLASSES)):
        write_flat(tmp_path / f"{number}.png", shade.item())

    clean = load(tmp_path, network, labels="from-model", convention=PLAIN)

    assert clean.samples.labels.tolist() == list(range(CLASSES))
    assert clean.class_names == ()
    assert clean.clean_accuracy == 1.0


def test_labels_from_the_model_overrule_the_folders(
    folder: Path, network: Shades
) -> None:
    (folder / "0").rename(folder / "zero")

    clean = load(folder, network, labels="from-model", convention=PLAIN)

    assert sorted(set(clean.samples.labels.tolist())) == list(range(CLASSES))


def test_flat_images_need_a_word_about_their_labels(
    tmp_path: Path, network: Shades
) -> None:
    write_flat(tmp_path / "a.png", 0.5)

    with pytest.raises(UsageError) as error:
        load(tmp_path, network)

    assert "--labels from-model" in error.value.hint


def test_a_limit_takes_the_same_share_of_each_class(
    folder: Path, network: Shades
) -> None:
    clean = load(folder, network, limit=2 * CLASSES)

    assert torch.bincount(clean.samples.labels).tolist() == [2] * CLASSES


def test_the_seed_chooses_which_samples_a_limit_keeps(
    tmp_path: Path, network: Shades
) -> None:
    generator = torch.Generator().manual_seed(0)
    for label, shade in enumerate(some_shades(CLASSES)):
        (tmp_path / str(label)).mkdir()
        for number in range(8):
            noise = 0.05 * torch.rand(1, generator=generator).item()
            write_flat(tmp_path / str(label) / f"{number}.png", shade.item() + noise)

    def kept(seed: int) -> Tensor:
        return load(tmp_path, network, limit=12, seed=seed).samples.images

    assert torch.equal(kept(1), kept(1))
    assert not torch.equal(kept(1), kept(2))


def scrambled(labels: Sequence[int]) -> Callable[[Path], None]:
    """Rename class folders so that folder ``labels[i]`` holds class i."""

    def rename(folder: Path) -> None:
        for label in range(CLASSES):
            (folder / str(label)).rename(folder / f"was{label}")
        for label, name in enumerate(labels):
            (folder / f"was{label}").rename(folder / str(name))

    return rename


def test_a_permuted_class_order_is_named(folder: Path, network: Shades) -> None:
    scrambled([2, 0, 1, 4, 5, 3])(folder)

    with pytest.raises(InputRefused, match="at chance") as refusal:
        load(folder, network, convention=PLAIN)

    for folder_name, model_class in ((2, 0), (0, 1), (1, 2), (4, 3), (5, 4), (3, 5)):
        assert f"{folder_name} is class {model_class}" in refusal.value.hint
    assert refusal.value.exit_code is ExitCode.REFUSED


def test_a_model_at_chance_is_refused(folder: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, CLASSES, 4), nn.Flatten())

    with pytest.raises(InputRefused, match="cannot be sanitized") as refusal:
        load(folder, network)

    assert "--mean" in refusal.value.hint
    assert refusal.value.exit_code is ExitCode.REFUSED


@pytest.mark.parametrize(
    ("scale", "doubted"), [(1.0, False), (1.02, False), (0.9, True)]
)
def test_what_fits_clearly_better_than_what_was_given_is_told(
    folder: Path, network: Shades, scale: float, doubted: bool
) -> None:
    clean = load(folder, network, convention=Convention(name="given", scale=scale))

    assert clean.spec.convention.scale == scale
    assert (clean.clean_accuracy < 0.95) is doubted
    told = BetterInput("[0, 1]", 1.0) if doubted else None
    assert clean.better == told


@pytest.mark.parametrize(("wrong", "told"), [(0, False), (2, False), (3, True)])
def test_one_or_two_of_few_samples_are_not_clearly_better(
    folder: Path,
    network: Shades,
    monkeypatch: pytest.MonkeyPatch,
    wrong: int,
    told: bool,
) -> None:
    spec = load(folder, network).spec
    all_right = Found(network=0, spec=spec, score=1.0)
    monkeypatch.setattr(better, "find_input_spec", lambda *_, **__: all_right)
    labels = torch.zeros(20, dtype=torch.int64)
    predicted = (torch.arange(20) < wrong).long()

    found = better.better_input(
        [network], [folder] * 20, labels, [], predicted, seed=0, device=labels.device
    )

    assert (found is not None) is told


def test_a_refusal_names_what_fits_better(folder: Path, network: Shades) -> None:
    given = Convention(name="given", scale=255.0)

    with pytest.raises(InputRefused, match="as --range, --mean") as refusal:
        load(folder, network, convention=given)

    assert refusal.value.hint.startswith("Fed as [0, 1], it labels 100.0%")


def test_a_refusal_says_which_class_each_name_was_taken_for(folder: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, CLASSES, 4), nn.Flatten())
    for label, name in enumerate(("ant", "bee", "cat", "dog", "emu", "fox")):
        (folder / str(label)).rename(folder / name)

    with pytest.raises(InputRefused) as refusal:
        load(folder, network)

    assert "'ant' as 0, 'bee' as 1" in refusal.value.hint


def test_plausible_lies_between_chance_and_certainty() -> None:
    for num_classes in (2, 10, 1000):
        assert 1 / num_classes < plausible_accuracy(num_classes) < 1


def test_a_model_that_calls_everything_one_class_cannot_label(
    folder: Path, network: Shades
) -> None:
    stuck = nn.Sequential(network, nn.Linear(CLASSES, CLASSES))
    nn.init.zeros_(stuck[1].weight)
    nn.init.normal_(stuck[1].bias)

    with pytest.raises(InputRefused, match="one class"):
        load(folder, stuck, labels="from-model")


def test_the_digest_is_of_the_files_that_were_used(
    folder: Path, network: Shades
) -> None:
    few, other = (load(folder, network, limit=2 * CLASSES, seed=s) for s in (0, 1))
    unused = folder / "0" / "zzz.txt"
    unused.write_text("not an image")

    assert load(folder, network).sha256 == load(folder, network).sha256
    assert len({load(folder, network).sha256, few.sha256, other.sha256}) == 3


def test_labels_of_a_table_are_digested_where_they_count(
    tmp_path: Path, network: Shades
) -> None:
    names = [f"{label}.png" for label in range(CLASSES)]
    for name, shade in zip(names, some_shades(CLASSES), strict=True):
        write_flat(tmp_path / name, shade.item())
    rows = [f"{name},{label}" for label, name in enumerate(names)]

    def digests(table: str) -> list[str]:
        (tmp_path / "labels.csv").write_text(table)
        kinds = ("folder", "from-model")
        return [load(tmp_path, network, labels=kind).sha256 for kind in kinds]

    before = digests("\n".join(rows))
    after = digests("\n".join([*rows[:-2], *rows[:-3:-1]]))

    assert before[0] != after[0]
    assert before[1] == after[1]


@dataclass(frozen=True)
class Unfit:
    """What is done to a good folder, and what the refusal says."""

    name: str
    spoil: Callable[[Path], None]
    message: str


def keep_one_class(folder: Path) -> None:
    for label in range(1, CLASSES):
        (folder / str(label)).rename(folder.with_name(f"elsewhere{label}"))


def keep_few(folder: Path) -> None:
    for path in list(folder.glob("*/*.png"))[CLASSES - 1 :]:
        path.unlink()


def add_a_class(folder: Path) -> None:
    (folder / "7").mkdir()
    write_flat(folder / "7" / "0.png", 0.5)


def spoil_an_image(folder: Path) -> None:
    (folder / "3" / "1.png").write_bytes(b"not an image")


UNFIT = [
    Unfit("one class", keep_one_class, "one class"),
    Unfit("few", keep_few, "too few for 6 classes"),
    Unfit("unknown class", add_a_class, "'7'"),
    Unfit("no image", spoil_an_image, r"1\.png"),
]


@pytest.mark.parametrize("case", UNFIT, ids=lambda case: case.name)
def test_an_unfit_folder_is_refused(folder: Path, network: Shades, case: Unfit) -> None:
    case.spoil(folder)

    with pytest.raises(InputRefused, match=case.message) as refusal:
        load(folder, network)

    assert refusal.value.hint
