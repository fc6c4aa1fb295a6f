from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rnp_cli.report.formats import FORMATS, SUFFIXES
from rnp_cli.report.sanitization import Report


@pytest.mark.parametrize("which", ["report", "model"])
def test_the_report_is_found_and_printed_as_json(
    rnp: Any, sanitized: Any, which: str
) -> None:
    run = rnp("inspect", getattr(sanitized, which), "--format", "json")

    assert (run.code, run.err) == (0, "")
    assert Report.model_validate_json(run.out) == sanitized.result.report


def test_the_table_names_every_pruned_channel(rnp: Any, sanitized: Any) -> None:
    run = rnp("inspect", sanitized.model)

    assert (run.code, run.err) == (0, "")
    rows = [line.split() for line in run.out.splitlines()]
    for channel in sanitized.result.report.pruned[:20]:
        start = [str(channel.rank), channel.layer, str(channel.channel)]
        assert start in [row[:3] for row in rows]


def test_a_changed_report_is_refused_by_its_model(
    rnp: Any, sanitized: Any, tmp_path: Path
) -> None:
    model = tmp_path / sanitized.model.name
    model.write_bytes(sanitized.model.read_bytes())
    content = json.loads(sanitized.report.read_text())
    content["accuracy_after"]["value"] = 1.0
    (tmp_path / sanitized.report.name).write_text(json.dumps(content))

    run = rnp("inspect", model)

    assert (run.code, run.out) == (3, "")
    assert "Input refused" in run.err


@pytest.mark.parametrize("name", ["missing.json", "missing.safetensors"])
def test_a_missing_file_is_a_usage_error(rnp: Any, name: str) -> None:
    run = rnp("inspect", name)

    assert (run.code, run.out) == (2, "")
    assert name in run.err


@pytest.mark.parametrize(
    "name", ["broken.json", "broken.safetensors", "broken.onnx", "broken.pt2"]
)
def test_what_is_no_report_is_refused_in_a_panel(
    rnp: Any, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"{}")

    run = rnp("inspect", name)

    assert (run.code, run.out) == (3, "")
    assert "Input refused" in run.err
    assert "Traceback" not in run.err


def test_a_reader_that_goes_away_is_no_failed_policy(sanitized: Any) -> None:
    command = f"{sys.executable} -m rnp_cli inspect {sanitized.report} --format json"
    script = f"set -o pipefail; {command} | true"

    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True)

    assert ended.returncode in (0, 141)
    assert ended.stderr == ""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_report_is_written_in_the_format_that_the_file_names(
    rnp: Any, sanitized: Any, tmp_path: Path, suffix: str
) -> None:
    run = rnp("inspect", sanitized.report, "-o", f"out{suffix}")

    assert (run.code, run.err, run.out) == (0, "", f"Wrote out{suffix}\n")
    written = (tmp_path / f"out{suffix}").read_text()
    assert written == FORMATS[SUFFIXES[suffix]](sanitized.result.report)
    printed = rnp("inspect", sanitized.report, "--format", SUFFIXES[suffix])
    assert printed.out == written


def test_what_is_there_is_replaced_only_when_asked_to(
    rnp: Any, sanitized: Any, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("mine")

    refused = rnp("inspect", sanitized.report, "-o", page)

    assert (refused.code, page.read_text()) == (2, "mine")
    assert "--force" in refused.err
    assert rnp("inspect", sanitized.report, "-o", page, "--force").code == 0
    assert page.read_text().startswith("## ")


def test_an_ending_that_names_no_format_is_refused(rnp: Any, sanitized: Any) -> None:
    run = rnp("inspect", sanitized.report, "-o", "page.pdf")

    assert (run.code, run.out) == (2, "")
    assert ".html" in run.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("-o", ".html"), ".html is not named after a format."),
        (("-o", "page.html", "--format", "json"), "page.html is to be html, and"),
    ],
)
def test_an_output_that_says_nothing_clear_is_refused(
    rnp: Any, sanitized: Any, tmp_path: Path, args: tuple[str, ...], said: str
) -> None:
    run = rnp("inspect", sanitized.report, *args)

    assert (run.code, run.out) == (2, "")
    assert said in run.err
    assert list(tmp_path.iterdir()) == []


def test_endings_may_be_written_large(rnp: Any, sanitized: Any, tmp_path: Path) -> None:
    command = ("inspect", sanitized.report, "-o", "PAGE.HTML", "--format", "html")
    assert rnp(*command).code == 0
    assert "<html" in (tmp_path / "PAGE.HTML").read_text()


def test_of_two_files_the_one_that_is_refused_is_named(
    rnp: Any, sanitized: Any, tmp_path: Path
) -> None:
    (tmp_path / "cut.safetensors").write_bytes(sanitized.model.read_bytes()[:100])

    run = rnp("inspect", sanitized.report, "cut.safetensors")

    assert (run.code, run.out) == (3, "")
    assert "cut.safetensors" in run.err


def test_two_reports_are_shown_side_by_side(rnp: Any, sanitized: Any) -> None:
    run = rnp("inspect", sanitized.report, sanitized.model)

    assert (run.code, run.err) == (0, "")
    assert "Two runs" in run.out
    assert "in the first only" in run.out


def test_a_comparison_is_a_table_only(rnp: Any, sanitized: Any) -> None:
    run = rnp("inspect", sanitized.report, sanitized.report, "--format", "json")

    assert (run.code, run.out) == (2, "")
    assert "as a table" in run.err


@pytest.fixture
def verification(rnp: Any, sanitized: Any, tmp_path: Path) -> Path:
    """A report of another command than rnp sanitize."""
    path = tmp_path / "verification.json"
    path.write_text(rnp("verify", sanitized.model, "--format", "json").out)
    return path


def test_a_report_of_another_command_has_the_formats_that_it_has(
    rnp: Any, verification: Path, tmp_path: Path
) -> None:
    shown = rnp("inspect", verification)
    refused = rnp("inspect", verification, "--format", "html")
    unwritten = rnp("inspect", verification, "-o", "page.md")
    written = rnp("inspect", verification, "-o", "again.json")

    assert (shown.code, written.code) == (0, 0)
    assert (tmp_path / "again.json").read_text() == verification.read_text()
    assert (refused.code, unwritten.code) == (2, 2)
    assert "cannot be shown as html" in refused.err
    assert not (tmp_path / "page.md").exists()


def test_only_sanitizations_are_compared(
    rnp: Any, sanitized: Any, verification: Path
) -> None:
    run = rnp("inspect", sanitized.report, verification)

    assert (run.code, run.out) == (2, "")
    assert "rnp verify" in run.err


def test_sarif_says_where_the_model_lies(
    rnp: Any, sanitized: Any, digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(*args: object) -> str:
        run = rnp("inspect", sanitized.report, "--format", "sarif", *args)
        [found] = json.loads(run.out)["runs"]
        return str(found["artifacts"][0]["location"]["uri"])

    name = digits.model.name
    assert place() == name
    assert place("--model", f"models/{name}") == f"models/{name}"
    monkeypatch.setenv("RNP_MODEL", str(digits.model))
    assert place() == digits.model.as_uri()


def test_another_model_than_the_reports_is_refused_for_sarif(
    rnp: Any, sanitized: Any
) -> None:
    refused = rnp("inspect", sanitized.report, "--format", "sarif", "--model", "x.pt")

    assert (refused.code, refused.out) == (2, "")
    assert "not about x.pt" in refused.err
