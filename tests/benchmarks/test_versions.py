from __future__ import annotations

import json
from pathlib import Path

import pytest
import versions
from subjects.zoo_models import ZooModel

ROOT = Path(__file__).resolve().parents[2]


def test_both_versions_sanitize_the_same_model_in_turn(
    zoo: list[ZooModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    (empty / "rnp_cli").mkdir(parents=True)
    (empty / "rnp_cli/__main__.py").write_text(
        "import sys; print('no such thing', file=sys.stderr); sys.exit(7)\n"
    )
    options = ["--versions", str(empty), str(ROOT), "--profile", "digits"]
    options += ["--only", zoo[0].name, "--samples", "100", "--measured", "100"]
    options += ["--work", str(tmp_path / "work"), "--results", str(tmp_path)]

    versions.main(options)

    data = tmp_path / f"versions-digits-{zoo[0].name}.json"
    page = data.with_suffix(".md").read_text()
    said = capsys.readouterr()
    assert page in said.out
    assert "no such thing" in said.err
    rows = json.loads(data.read_text())
    first, second = map(versions.Sanitized.model_validate, rows)
    assert (first.version, first.code, first.after) == (0, 7, None)
    assert (second.version, second.code) == (1, 0)
    assert second.after is not None
    assert 0 < first.cpu_seconds < second.cpu_seconds
    assert " | – (7) | " in page
