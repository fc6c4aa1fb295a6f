from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from rnp_cli.report.detection import Detection


def test_the_examples_backdoor_is_found_and_fails_the_policy(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    run = rnp("detect", digits.model, "--clean-dir", digits.clean)

    assert run.code == 1
    assert "Strong evidence" in run.out
    assert "class 7" in run.out
    assert list(tmp_path.iterdir()) == []


def test_json_is_all_that_goes_to_stdout_and_the_policy_can_be_off(
    rnp: Any, digits: Any
) -> None:
    run = rnp(
        "detect",
        digits.model,
        "--clean-dir",
        digits.clean,
        "--format",
        "json",
        "--fail-on",
        "never",
    )

    assert run.code == 0
    found = Detection.model_validate(json.loads(run.out))
    assert found.verdict.level == "strong"
    assert found.verdict.target == 7
    assert found.label is not None
    assert found.label.target == 7
    assert {trigger.target for trigger in found.triggers} == {None, *range(10)}
    assert set(found.run.stages) == {"read", "samples", "unlearn", "invert"}


def test_a_folder_that_cannot_serve_exits_with_3(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    shutil.copytree(digits.clean / "0", tmp_path / "data" / "0")

    run = rnp("detect", digits.model, "--clean-dir", tmp_path / "data")

    assert run.code == 3
    assert "one class" in run.err
