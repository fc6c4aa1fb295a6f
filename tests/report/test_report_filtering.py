from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from made_reports import BROKEN, SUSPECT

from rnp_cli.report.filtering import CountInfo
from rnp_cli.report.filtering_rows import ROW_FORMATS
from rnp_cli.report.filtering_terminal import render_filtering
from rnp_cli.report.schema import SanitizedInfo

Rendered = Callable[..., str]


def test_what_the_score_means_depends_on_what_was_asked(
    make_filtering: Any, make_report: Any, rendered: Rendered
) -> None:
    report = make_report()
    asked = SanitizedInfo(
        file="made.safetensors",
        sha256="0" * 64,
        format="safetensors",
        findings=(),
        accuracy=report.accuracy_after,
    )

    unlearned = " ".join(rendered(render_filtering(make_filtering())).split())
    filtering = make_filtering(sanitized=asked, unlearn=None, stops=0)
    sanitized = " ".join(rendered(render_filtering(filtering)).split())

    assert "a model on the way down keeps to the prediction" in unlearned
    assert "the sanitized model gives up the prediction" in sanitized
    assert "made.safetensors" in sanitized
    assert "way down" not in sanitized


def test_suspects_and_what_could_not_be_read(
    make_filtering: Any, rendered: Rendered, check_golden: Callable[[str, str], None]
) -> None:
    check_golden("filtering.txt", rendered(render_filtering(make_filtering())))


def test_nothing_suspect(make_filtering: Any, rendered: Rendered) -> None:
    none = CountInfo(
        scored=100, suspect=0, unreadable=0, passed_over=0, suspect_by_class=(0, 0, 0)
    )
    text = rendered(
        render_filtering(make_filtering(counts=none, most_suspect=(), unreadable=()))
    )
    assert "0 of 100 images are suspect" in text
    assert "Most suspect" not in text
    assert "Quarantine" not in text
    assert "Could not be read" not in text


def test_without_an_output_the_option_is_named(
    make_filtering: Any, rendered: Rendered
) -> None:
    text = rendered(render_filtering(make_filtering(output=None)))
    assert "--output FILE.csv" in " ".join(text.split())


@pytest.mark.parametrize("suffix", ROW_FORMATS)
def test_every_format_holds_the_rows(suffix: str) -> None:
    form = ROW_FORMATS[suffix]
    text = form.head + form.between.join(map(form.row, (SUSPECT, BROKEN))) + form.tail
    rows: list[dict[str, Any]]
    if suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(text)))
    elif suffix == ".json":
        rows = json.loads(text)
    else:
        rows = [json.loads(line) for line in text.splitlines()]

    assert [row["error"] for row in rows] == ["", BROKEN.error]
    assert [str(row["score"] or "") for row in rows] == ["5.25", ""]
    assert [row["suspect"] in (True, "yes") for row in rows] == [True, False]


def test_a_spreadsheet_takes_no_file_name_for_a_formula() -> None:
    assert ROW_FORMATS[".csv"].row(BROKEN).startswith('"./=cmd,')
