"""Which images a sample folder holds, and the label of each.

Three layouts: one sub-folder per class, images beside a ``labels.csv`` of
``file,label`` rows, or images alone.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rnp_cli.errors import InputRefused, UsageError

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
)
_MOST_NAMES = 12
_MOST_LETTERS = 60  # that are shown of a name
_MOST_DIGITS = 18  # of a class's number
_WHOLE = re.compile(r"[0-9]+([.]0*)?")  # pandas writes 3 as 3.0 where labels lack
_NUMERAL = re.compile(r"[+-]?[0-9]+([.,][0-9]*)?")  # however it is meant
_LAYOUTS = (
    "Give a folder with one sub-folder per class, or images and a labels.csv with "
    "file,label rows, or images alone together with --labels from-model."
)
_BY_NUMBER = (
    "Name each class by its number in the model, counted from 0, and remove what is "
    "none of them."
)


@dataclass(frozen=True)
class Listing:
    """Image files in a fixed order, with labels as the folder writes them.

    table: the file that has the labels, where they are not the names of folders.
    """

    paths: tuple[Path, ...]
    labels: tuple[str, ...] | None
    table: Path | None = None

    def class_names(self) -> tuple[str, ...]:
        """Return the distinct labels; numbers sort as numbers."""
        return tuple(sorted(set(self.labels or ()), key=_natural))


def list_images(folder: Path) -> Listing:
    """Find the images of a folder; raise InputRefused when there are none.

    Raises UsageError when there is no such folder.
    """
    if not folder.exists():
        raise UsageError(f"There is no folder {folder}.", hint=_LAYOUTS)
    if not folder.is_dir():
        raise InputRefused(f"{folder} is not a folder.", hint=_LAYOUTS)
    table = folder / "labels.csv"
    if table.is_file():
        return _from_table(folder, table)
    classes = sorted((p for p in folder.iterdir() if p.is_dir()), key=_by_name)
    labelled = [(path, c.name) for c in classes for path in _images(c)]
    loose = _images(folder)
    if labelled and loose:
        raise InputRefused(
            f"{folder} holds class folders, and images beside them ({len(loose)}).",
            hint="Move them into their class folders or out of the way.",
        )
    if labelled:
        paths, labels = zip(*labelled, strict=True)
        return Listing(paths, labels)
    if loose:
        return Listing(tuple(loose), None)
    raise InputRefused(f"{folder} holds no images.", hint=_deeper(classes) or _LAYOUTS)


def class_numbers(names: tuple[str, ...], num_classes: int) -> dict[str, int]:
    """Map class names to the model's classes.

    Numbers name a class directly, counted from 0, or from 1 where the largest is
    ``num_classes``; other names are taken in sorted order and must be as many as the
    model has classes. Of a mixture each number must be of its class either way, as
    where letters follow 0 to 9. Raises InputRefused.
    """
    words = [name for name in names if not _is_number(name)]
    if not words:
        numbers = {name: _whole(name) for name in names}
        counted_from_one = (
            max(numbers.values()) == num_classes and min(numbers.values()) > 0
        )
        first = int(counted_from_one)
        beyond = [n for n, number in numbers.items() if number - first >= num_classes]
        if beyond:
            raise InputRefused(
                f"The samples have {_quoted(beyond)}, and the model has "
                f"{num_classes} classes: 0 to {num_classes - 1}.",
                hint=_BY_NUMBER,
            )
        return {name: number - first for name, number in numbers.items()}
    numerals = sorted(map(_whole, set(names) - set(words)))
    is_clear = numerals == [*range(len(numerals))] and len(names) == num_classes
    if numerals and not (is_clear and len(words) > 1):
        raise InputRefused(
            "Some classes of the samples are named by numbers, and some are not: "
            f"{_quoted(words)}.",
            hint=_BY_NUMBER,
        )
    unclear = [word for word in words if _NUMERAL.fullmatch(word)]
    if unclear:
        raise InputRefused(
            f"These classes of the samples are no whole numbers from 0 on: "
            f"{_quoted(unclear)}.",
            hint=_BY_NUMBER,
        )
    if len(names) != num_classes:
        raise InputRefused(
            f"The samples have {len(names)} classes and the model has {num_classes}. "
            f"Those of the samples: {_quoted(words)}.",
            hint="Classes that are named by words must all be there, and none beside "
            f"them: sorted, they are taken as the model's classes 0 to "
            f"{num_classes - 1}. Or name each by its class's number in the model, "
            "counted from 0; then some may be missing.",
        )
    return {name: n for n, name in enumerate(sorted(names, key=_natural))}


def shortened(texts: Iterable[str]) -> str:
    """Put texts on one line, the first of them where they are many."""
    every = list(texts)
    hidden = len(every) - _MOST_NAMES
    shown = ", ".join(every[:_MOST_NAMES])
    return f"{shown} and {hidden} more" if hidden > 0 else shown


def _quoted(names: Iterable[str]) -> str:
    return shortened(map(repr, map(_cut, names)))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."


def _images(folder: Path) -> list[Path]:
    found = (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    return sorted((p for p in found if p.is_file()), key=_by_name)


def _deeper(folders: Iterable[Path]) -> str:
    """Say where class folders may be, if images lie one level further down."""
    holding = [folder for folder in folders if _holds_folders_of_images(folder)]
    if not holding:
        return ""
    named = shortened(map(str, holding))
    return f"There are folders of images in {named}: give the one whose are classes."


def _holds_folders_of_images(folder: Path) -> bool:
    with suppress(OSError):
        inner = [path for path in folder.iterdir() if path.is_dir()]
        return not folder.name.startswith(".") and any(map(_images, inner))
    return False


def _from_table(folder: Path, table: Path) -> Listing:
    listed: dict[str, tuple[Path, str]] = {}  # by path, without detours
    for number, (line, row) in enumerate(_rows(table)):
        path = folder / row[0]
        kind = _kind(path)
        label = row[1].strip() if len(row) > 1 else ""
        is_image = path.suffix.lower() in SUFFIXES or kind == "file"
        if number == 0 and label and not is_image and not _NUMERAL.fullmatch(label):
            continue  # the heading
        where = f"{table}, line {line}:"
        if not label or not row[0].strip():
            lacks = "has no label" if row[0].strip() else "names no file"
            raise InputRefused(
                f"{where} {_cut(','.join(row))!r} {lacks}.",
                hint="Each line has a file and its label, with a comma between them.",
            )
        if kind != "file":
            raise InputRefused(
                f"{where} {_cut(row[0])!r} is {kind or 'not there'}.",
                hint="Paths in labels.csv are those of images, relative to its folder.",
            )
        _, before = listed.setdefault(os.path.normpath(path), (path, label))
        if before != label:
            raise InputRefused(
                f"{where} {_cut(row[0])!r} has another label than above, "
                f"{_cut(before)!r}.",
                hint="Keep one of the two.",
            )
    if not listed:
        raise InputRefused(f"{table} names no image of its folder.", hint=_LAYOUTS)
    paths, labels = zip(*listed.values(), strict=True)
    return Listing(paths, labels, table)


def _kind(path: Path) -> str:
    """Say what lies at a path; nothing where nothing does, or can by that name."""
    with suppress(OSError, ValueError):
        if path.is_file():
            return "file"
        if path.is_dir():
            return "a folder"
    return ""


def _rows(table: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield rows that are not empty, with the line that each ends in, from 1.

    A byte order mark, as Excel writes it, is skipped.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines)
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputRefused(
            f"{table} cannot be read: {error}.",
            hint="Save it as UTF-8 text, with commas between file and label.",
        ) from error


def _by_name(path: Path) -> tuple[int, int, str]:
    return _natural(path.name)


def _natural(name: str) -> tuple[int, int, str]:
    return (0, _whole(name), name) if _is_number(name) else (1, 0, name)


def _is_number(name: str) -> bool:
    return _WHOLE.fullmatch(name) is not None and len(name) <= _MOST_DIGITS


def _whole(name: str) -> int:
    return int(name.partition(".")[0])
