"""Which images a sample folder holds, and the label of each.

Three layouts: one sub-folder per class, images beside a ``labels.csv`` of
``file,label`` rows, or images alone.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rnp_cli.errors import InputRefused, UsageError

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
)
_MOST_NAMES = 12
_LAYOUTS = (
    "Give a folder with one sub-folder per class, or images and a labels.csv with "
    "file,label rows, or images alone together with --labels from-model."
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
            f"{folder} holds class folders, and {len(loose)} images beside them.",
            hint="Move them into their class folders or out of the way.",
        )
    if labelled:
        paths, labels = zip(*labelled, strict=True)
        return Listing(paths, labels)
    if loose:
        return Listing(tuple(loose), None)
    raise InputRefused(f"{folder} holds no images.", hint=_LAYOUTS)


def class_numbers(names: tuple[str, ...], num_classes: int) -> dict[str, int]:
    """Map class names to the model's classes.

    Numbers name a class directly, counted from 0, or from 1 where the largest is
    ``num_classes``; other names are taken in sorted order and must be as many as the
    model has classes. Raises InputRefused.
    """
    words = [name for name in names if not _is_number(name)]
    if not words:
        numbers = {name: int(name) for name in names}
        counted_from_one = (
            max(numbers.values()) == num_classes and min(numbers.values()) > 0
        )
        first = int(counted_from_one)
        beyond = [n for n, number in numbers.items() if number - first >= num_classes]
        if beyond:
            raise InputRefused(
                f"The samples have {shortened(map(repr, beyond))}, and the model has "
                f"{num_classes} classes: 0 to {num_classes - 1}.",
                hint="Remove what is none of the model's classes, or name it by the "
                "number of its class in the model, counted from 0.",
            )
        return {name: number - first for name, number in numbers.items()}
    if len(names) != num_classes:
        found = f"The samples have {len(names)} classes and the model has {num_classes}"
        if len(words) < len(names):
            raise InputRefused(
                f"{found}; {shortened(map(repr, words))}: no number, as the others "
                "are.",
                hint="Remove what is none of the model's classes, or name it by the "
                "number of its class in the model, counted from 0.",
            )
        raise InputRefused(
            f"{found}. Those of the samples: {shortened(map(repr, words))}.",
            hint="Classes that are named by words must all be there, and none beside "
            f"them: sorted, they are taken as the model's classes 0 to "
            f"{num_classes - 1}. Or name each by its class's number in the model, "
            "counted from 0; then some may be missing.",
        )
    return {name: number for number, name in enumerate(names)}


def shortened(texts: Iterable[str]) -> str:
    """Put texts on one line, the first of them where they are many."""
    every = list(texts)
    hidden = len(every) - _MOST_NAMES
    shown = ", ".join(every[:_MOST_NAMES])
    return f"{shown} and {hidden} more" if hidden > 0 else shown


def _images(folder: Path) -> list[Path]:
    found = (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    return sorted((p for p in found if p.is_file()), key=_by_name)


def _from_table(folder: Path, table: Path) -> Listing:
    paths: list[Path] = []
    labels: list[str] = []
    for number, row in enumerate(_rows(table)):
        path = folder / row[0]
        if not path.is_file():
            if number == 0 and path.suffix.lower() not in SUFFIXES:
                continue  # the heading
            raise InputRefused(
                f"{table} names {row[0]!r}, which is not there.",
                hint="Paths in labels.csv are relative to its folder.",
            )
        paths.append(path)
        labels.append(row[1].strip())
    if not paths:
        raise InputRefused(f"{table} names no image of its folder.", hint=_LAYOUTS)
    return Listing(tuple(paths), tuple(labels), table)


def _rows(table: Path) -> list[list[str]]:
    """Rows of two cells or more; a byte order mark, as Excel writes it, is skipped."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            return [row for row in csv.reader(lines) if len(row) > 1]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputRefused(
            f"{table} cannot be read: {error}.",
            hint="Save it as UTF-8 text, with commas between file and label.",
        ) from error


def _by_name(path: Path) -> tuple[int, int, str]:
    return _natural(path.name)


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if _is_number(name) else (1, 0, name)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()
