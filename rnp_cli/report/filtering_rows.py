"""Rows about suspects as text: CSV, a JSON array, or JSON lines; by a file's suffix."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from rnp_cli.report.filtering import SuspectRow

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would compute


@dataclass(frozen=True)
class RowFormat:
    """One row as text, and the text before the rows, between two, and after them."""

    row: Callable[[SuspectRow], str]
    head: str = ""
    between: str = ""
    tail: str = ""


def _csv_line(cells: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _csv_row(row: SuspectRow) -> str:
    cells = row.model_dump()
    if row.file.startswith(_FORMULAS):
        cells["file"] = f"./{row.file}"  # the same file, and no formula
    if row.suspect is not None:
        cells["suspect"] = "yes" if row.suspect else "no"
    return _csv_line(cells.values())


ROW_FORMATS: Mapping[str, RowFormat] = {
    ".csv": RowFormat(_csv_row, head=_csv_line(SuspectRow.model_fields)),
    ".json": RowFormat(SuspectRow.model_dump_json, "[\n", ",\n", "\n]\n"),
    ".jsonl": RowFormat(lambda row: row.model_dump_json() + "\n"),
}
