from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize("name", ["broken.json", "broken.safetensors"])
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
