"""The steps of the Action and the GitLab job, run as they run there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "ci" / "sanitize.sh"
QUICK = "[inversion]\nsteps = 2\n"  # unlearning alone convicts


def run_script(
    folder: Path, **variables: str
) -> tuple[subprocess.CompletedProcess[str], str]:
    summary = folder / "summary.md"
    config = folder / "quick.toml"
    config.write_text(QUICK)
    arguments = ["--config", str(config), "--method", "rnp", "--device", "cpu"]
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
        "FORCE_COLOR": "1",
        "RNP_ARGUMENTS": "\n".join(arguments),
        **variables,
    }
    ended = subprocess.run(
        ["bash", SCRIPT], cwd=folder, env=env, capture_output=True, text=True
    )
    return ended, summary.read_text() if summary.exists() else ""


@pytest.mark.parametrize(("fail_on", "code"), [("", 0), ("backdoor\naccuracy=9\n", 1)])
def test_a_job_leaves_model_reports_and_summary(
    digits: Any, tmp_path: Path, fail_on: str, code: int
) -> None:
    ended, summary = run_script(
        tmp_path,
        RNP_MODEL=str(digits.model),
        RNP_CLEAN_DIR=str(digits.clean),
        RNP_FAIL_ON=fail_on,
    )

    assert ended.returncode == code, ended.stderr
    assert (tmp_path / "sanitized.safetensors").exists()
    reports = tmp_path / "rnp-reports"
    assert (reports / "report.html").read_text().startswith("<!DOCTYPE html>")
    [run] = json.loads((reports / "report.sarif").read_text())["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["RNP001"]
    assert run["artifacts"][0]["location"] == {"uri": digits.model.as_uri()}
    assert summary.startswith("## ✅ Pruned")
    notes = [line for line in ended.stderr.splitlines() if line.startswith("::")]
    assert notes[0].startswith("::notice title=model.pt%3A Pruned::")
    assert [note.startswith("::error title=Policy::") for note in notes[1:]] == (
        [True] * code
    )
    assert "\x1b" not in ended.stdout + ended.stderr


def test_a_job_that_cannot_run_annotates_the_error(digits: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no checkpoint")

    ended, summary = run_script(
        tmp_path,
        RNP_MODEL=str(broken),
        RNP_CLEAN_DIR=str(digits.clean),
        RNP_OUTPUT="new/model.safetensors",
    )

    assert ended.returncode == 3
    assert "::error title=rnp::" in ended.stderr
    assert summary == ""
    assert not (tmp_path / "rnp-reports").exists()
    assert [*(tmp_path / "new").iterdir()] == []


@pytest.mark.parametrize(
    "variables",
    [{}, {"RNP_MODEL": "model.pt"}, {"RNP_CLEAN_DIR": "data"}],
    ids=["nothing", "no images", "no model"],
)
def test_a_job_without_its_inputs_is_an_error_of_usage(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    ended, _ = run_script(tmp_path, **variables)

    assert ended.returncode == 2
    assert "is not set" in ended.stderr


def test_the_model_is_never_removed(digits: Any, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(digits.model.read_bytes())

    ended, _ = run_script(
        tmp_path,
        RNP_MODEL="model.safetensors",
        RNP_CLEAN_DIR=str(digits.clean),
        RNP_OUTPUT=str(model),
    )

    assert ended.returncode == 2
    assert "would replace the checkpoint" in ended.stderr
    assert model.read_bytes() == digits.model.read_bytes()


def test_the_action_runs_this_script_with_all_its_inputs() -> None:
    action = (ROOT / "action.yml").read_text()

    assert 'bash "$GITHUB_ACTION_PATH/examples/ci/sanitize.sh"' in action
    script = SCRIPT.read_text()
    inputs = ("MODEL", "CLEAN_DIR", "OUTPUT", "REPORTS", "FAIL_ON", "ARGUMENTS")
    for name in (*inputs, "CONFIG", "ACCEPTED"):
        option = name.lower().replace("_", "-")
        assert f"RNP_{name}: ${{{{ inputs.{option} }}}}" in action
        assert f"RNP_{name}" in script
