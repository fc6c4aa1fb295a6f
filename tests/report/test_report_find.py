from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rnp_cli.errors import InputRefused
from rnp_cli.report.find import read_report, report_of_model
from rnp_cli.report.sanitization import Report


@pytest.fixture
def report(make_report: Any, tmp_path: Path) -> Report:
    made: Report = make_report()
    (tmp_path / "model.report.json").write_text(made.model_dump_json())
    return made


def metadata(report: Report, **changes: str) -> dict[str, str]:
    return {
        "rnp_report": "model.report.json",
        "rnp_report_sha256": report.digest(),
        **changes,
    }


def test_a_model_leads_to_its_report(tmp_path: Path, report: Report) -> None:
    model = tmp_path / "model.sanitized.safetensors"

    assert report_of_model(model, metadata(report)) == report


def test_a_report_that_was_changed_is_refused(
    tmp_path: Path, make_report: Any, report: Report
) -> None:
    rosier = make_report(max_accuracy_drop=0.01)
    (tmp_path / "model.report.json").write_text(rosier.model_dump_json())

    with pytest.raises(InputRefused, match="changed|written with"):
        report_of_model(tmp_path / "model.safetensors", metadata(report))


@pytest.mark.parametrize(
    "name",
    [
        "../model.report.json",
        "below/model.report.json",
        "/etc/passwd",
        "",
        ".",
        "..",
        "./model.report.json",
        "model.report.json/",
        "model\0.report.json",
    ],
)
def test_metadata_cannot_lead_out_of_the_folder(
    tmp_path: Path, report: Report, name: str
) -> None:
    folder = tmp_path / "models"
    (folder / "below").mkdir(parents=True)
    content = report.model_dump_json()
    (folder / "below" / "model.report.json").write_text(content)
    (folder / "model.report.json").write_text(content)

    with pytest.raises(InputRefused):
        report_of_model(folder / "m.safetensors", metadata(report, rnp_report=name))


def test_a_model_of_someone_else_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="not written by rnp"):
        report_of_model(tmp_path / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"schema_version": 1}', b"[" * 5000]
)
def test_what_is_no_report_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.report.json"
    path.write_bytes(content)

    with pytest.raises(InputRefused, match=r"model\.report\.json") as refusal:
        read_report(path)

    assert refusal.value.hint


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for name in ("missing.json", "", "pipe"):
        with pytest.raises(InputRefused, match="not a file"):
            read_report(tmp_path / name)


def test_a_file_too_large_to_be_a_report_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(1 << 30)

    with pytest.raises(InputRefused, match="too large"):
        read_report(path)
