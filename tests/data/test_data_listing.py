from __future__ import annotations

from pathlib import Path

import pytest

from rnp_cli.data.listing import class_numbers, list_images
from rnp_cli.errors import InputRefused, UsageError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_numbered_folders_and_files_are_in_natural_order(tmp_path: Path) -> None:
    touch(*(tmp_path / label / "1.png" for label in ("10", "2", "0", "1")))

    listing = list_images(tmp_path)

    assert listing.labels == ("0", "1", "2", "10")
    assert listing.class_names() == ("0", "1", "2", "10")


def test_every_image_goes_with_its_folder_and_other_files_do_not_count(
    tmp_path: Path,
) -> None:
    touch(tmp_path / "cat" / "b.JPG", tmp_path / "cat" / "a.png")
    touch(tmp_path / "cat" / "notes.txt", tmp_path / "dog" / "c.webp")
    touch(tmp_path / "README.md")

    listing = list_images(tmp_path)

    pairs = [(p.name, x) for p, x in zip(listing.paths, listing.labels, strict=True)]
    assert pairs == [("a.png", "cat"), ("b.JPG", "cat"), ("c.webp", "dog")]


@pytest.mark.parametrize("heading", ["", "file,label\n", "\ufefffile,label\n"])
def test_a_table_labels_the_images_of_its_folder(tmp_path: Path, heading: str) -> None:
    touch(tmp_path / "a.png", tmp_path / "more" / "b.png", tmp_path / "unlisted.png")
    table = f"{heading}a.png, 3\n\nmore/b.png,10\n"
    (tmp_path / "labels.csv").write_text(table, encoding="utf-8")

    listing = list_images(tmp_path)

    assert listing.paths == (tmp_path / "a.png", tmp_path / "more" / "b.png")
    assert listing.labels == ("3", "10")


def test_a_byte_order_mark_hides_no_image(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "b.png")
    (tmp_path / "labels.csv").write_text("a.png,0\nb.png,1\n", encoding="utf-8-sig")

    assert list_images(tmp_path).labels == ("0", "1")


@pytest.mark.parametrize(
    "table",
    ["a.png,0\ngone.png,1\n", "gone.png,0\na.png,1\n", "f,l\ngone.png,0\na.png,1\n"],
    ids=["last", "first", "after the heading"],
)
def test_a_table_that_names_a_missing_image_is_refused(
    tmp_path: Path, table: str
) -> None:
    touch(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text(table)

    with pytest.raises(InputRefused, match=r"gone\.png"):
        list_images(tmp_path)


@pytest.mark.parametrize(
    "table", [b"", b"file,label\n", "ä.png,0\n".encode("latin-1"), b"a\0.png,0\n"]
)
def test_a_table_without_any_image_is_refused(tmp_path: Path, table: bytes) -> None:
    (tmp_path / "labels.csv").write_bytes(table)

    with pytest.raises(InputRefused, match=r"labels\.csv"):
        list_images(tmp_path)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("a.png,0\n\nb.png\n", "line 3: 'b.png' has no label"),
        ("a.png,0\nb.png, \n", "line 2: 'b.png, ' has no label"),
        ("a.png;0\nb.png;1\n", "line 1: 'a.png;0' has no label"),
        ("file\tlabel\na.png\t0\n", "line 1: 'file\\tlabel' has no label"),
        ("a.png,0\nmore/../a.png,1\n", "'more/../a.png' has another label than above"),
        (",0\na.png,0\n", "line 1: ',0' names no file"),
        ("x,0\na.png,0\n", "line 1: 'x' is not there"),
        ("more,0\na.png,0\n", "line 1: 'more' is a folder"),
        ("a.png,0\nmore,1\n", "line 2: 'more' is a folder"),
        (f"a.png,0\n{'b' * 5000}.png,1\n", f"line 2: '{'b' * 60}...' is not there"),
    ],
)
def test_a_line_that_would_be_lost_is_named(
    tmp_path: Path, table: str, said: str
) -> None:
    touch(tmp_path / "a.png", tmp_path / "b.png", tmp_path / "more" / "c.png")
    (tmp_path / "labels.csv").write_text(table)

    with pytest.raises(InputRefused) as refusal:
        list_images(tmp_path)

    assert said in refusal.value.message


def test_an_image_that_is_listed_twice_counts_once(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "b.png")
    (tmp_path / "labels.csv").write_text("a.png,0\nb.png,1\n./a.png,0\n")

    listing = list_images(tmp_path)

    assert [path.name for path in listing.paths] == ["a.png", "b.png"]
    assert listing.labels == ("0", "1")


def test_class_folders_further_down_are_pointed_at(tmp_path: Path) -> None:
    touch(tmp_path / ".git" / "objects" / "a.png", tmp_path / "notes" / "a.txt")
    touch(tmp_path / "train" / "0" / "a.png", tmp_path / "val" / "0" / "a.png")

    with pytest.raises(InputRefused, match="holds no images") as refusal:
        list_images(tmp_path)

    assert f"in {tmp_path / 'train'}, {tmp_path / 'val'}:" in refusal.value.hint


def test_flat_images_have_no_labels(tmp_path: Path) -> None:
    touch(tmp_path / "10.png", tmp_path / "b.png", tmp_path / "a.png")

    listing = list_images(tmp_path)

    assert [path.name for path in listing.paths] == ["10.png", "a.png", "b.png"]
    assert listing.labels is None
    assert listing.class_names() == ()


def test_stray_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "0" / "a.png", tmp_path / "stray.png")

    with pytest.raises(InputRefused, match=r"images beside them \(1\)"):
        list_images(tmp_path)


@pytest.mark.parametrize("place", ["", "empty", "file.png"])
def test_a_place_without_images_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder").mkdir()
    if place == "file.png":
        touch(tmp_path / place)

    with pytest.raises(InputRefused) as refusal:
        list_images(tmp_path / place)

    assert "sub-folder per class" in refusal.value.hint


def test_a_folder_that_is_not_there_is_a_slip_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        list_images(tmp_path / "missing")


@pytest.mark.parametrize(
    ("names", "num_classes", "numbers"),
    [
        (("0", "1", "2"), 3, (0, 1, 2)),
        (("1", "2", "3"), 3, (0, 1, 2)),
        (("1", "2"), 3, (1, 2)),  # class 0 has no samples
        (("0", "2"), 10, (0, 2)),
        (("007", "10"), 11, (7, 10)),
        (("cat", "dog"), 2, (0, 1)),
        (("-", "x"), 2, (0, 1)),
        (("0.0", "2.", "10.00"), 11, (0, 2, 10)),  # as pandas writes whole numbers
        (("0", "1", "A", "B"), 4, (0, 1, 2, 3)),  # as of characters
    ],
)
def test_names_become_the_models_classes(
    names: tuple[str, ...], num_classes: int, numbers: tuple[int, ...]
) -> None:
    assert tuple(class_numbers(names, num_classes).values()) == numbers


@pytest.mark.parametrize(
    ("names", "num_classes", "message"),
    [
        (
            ("0", "1", "12"),
            10,
            "The samples have '12', and the model has 10 classes: 0 to 9.",
        ),
        (
            ("0", "1", "2"),  # counted from 0, one too many
            2,
            "The samples have '2', and the model has 2 classes: 0 to 1.",
        ),
        (
            ("cat", "dog"),
            3,
            "The samples have 2 classes and the model has 3. Those of the samples: "
            "'cat', 'dog'.",
        ),
        (
            ("0", "1", "notes"),
            2,
            "Some classes of the samples are named by numbers, and some are not: "
            "'notes'.",
        ),
        (
            ("0", "2", "one"),  # as many as the model has, and yet 2 is not its third
            3,
            "Some classes of the samples are named by numbers, and some are not: "
            "'one'.",
        ),
        (
            ("0", "2", "A", "B"),  # as many as the model has, and 1 is missing
            4,
            "Some classes of the samples are named by numbers, and some are not: "
            "'A', 'B'.",
        ),
        (
            ("+1", "-3", "1,5", "1.5"),  # sorted as words, none would be its own
            4,
            "These classes of the samples are no whole numbers from 0 on: '+1', '-3', "
            "'1,5', '1.5'.",
        ),
        (
            ("0", "9" * 5000),
            2,
            "Some classes of the samples are named by numbers, and some are not: "
            f"'{'9' * 60}...'.",
        ),
        (
            tuple(f"n{i}" for i in range(10, 30)),
            2,
            "The samples have 20 classes and the model has 2. Those of the samples: "
            + ", ".join(f"'n{i}'" for i in range(10, 22))
            + " and 8 more.",
        ),
    ],
)
def test_a_class_that_the_model_lacks_is_refused(
    names: tuple[str, ...], num_classes: int, message: str
) -> None:
    with pytest.raises(InputRefused) as refusal:
        class_numbers(names, num_classes)

    assert refusal.value.message == message
    assert "number" in refusal.value.hint
