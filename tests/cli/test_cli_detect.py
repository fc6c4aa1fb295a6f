from __future__ import annotations

import hashlib
import json
import re
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
    rnp: Any, digits: Any, tmp_path: Path
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
        "--hear-all",
    )

    assert run.code == 0
    found = Detection.model_validate(json.loads(run.out))
    assert found.verdict.level == "strong"
    assert found.verdict.target == 7
    assert found.label is not None
    assert found.label.target == 7
    assert {trigger.target for trigger in found.triggers} == {None, *range(10)}
    assert set(found.run.stages) - {"mistakes"} == {
        *("read", "samples", "unlearn", "margin", "invert")
    }
    assert set(found.settings) == {
        *(
            "unlearn",
            "unlearnings",
            "most_classes",
            "most_paired",
            "margin",
            "inversion",
            "verdict",
        )
    }
    report = tmp_path / "detection.json"
    report.write_text(run.out)
    assert "Strong evidence" in rnp("inspect", report).out
    assert rnp("inspect", report, "--format", "json").out == run.out


def test_a_folder_that_cannot_serve_exits_with_3(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    shutil.copytree(digits.clean / "0", tmp_path / "data" / "0")

    run = rnp("detect", digits.model, "--clean-dir", tmp_path / "data")

    assert run.code == 3
    assert "one class" in run.err


def test_accepted_evidence_does_not_fail_and_stays_told(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    digest = hashlib.sha256(digits.model.read_bytes()).hexdigest()
    (tmp_path / "accepted.toml").write_text(
        f'[[accepted]]\nmodel = "{digest}"\nrule = "backdoor"\nreason = "SEC-7"\n'
        "expires = 2999-12-31\n"
    )
    (tmp_path / "rnp.toml").write_text(
        "[options]\nmax-samples = 290\n[detect]\nfail-on = 'weak'\n"
        "[inversion]\nsteps = 2\n"
    )
    command = ("detect", digits.model, "--clean-dir", digits.clean, "--device", "cpu")

    assert rnp(*command).code == 1
    run = rnp(*command, "--accepted", "accepted.toml")

    assert run.code == 0
    assert "Settings from rnp.toml: inversion.steps, fail-on, max-samples." in run.err
    assert "evidence of a backdoor" in run.out
    assert "until 2999-12-31 (SEC-7): the model as it came shows" in run.out


def test_what_came_with_the_model_does_not_set_it_up(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    shutil.copy(digits.model, tmp_path / "model.pt")
    (tmp_path / "rnp.toml").write_text("[detect]\nfail-on = 'never'\n")

    run = rnp("detect", "model.pt", "--clean-dir", digits.clean)

    assert run.code == 1
    assert "rnp.toml was not read: it lies beside the model" in run.err
    assert "Settings from" not in run.err


def test_a_range_that_fits_badly_is_doubted(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    (tmp_path / "rnp.toml").write_text("[inversion]\nsteps = 1\n")

    run = rnp(
        *("detect", digits.model, "--clean-dir", digits.clean, "--range=-1,1"),
        *("--device", "cpu", "--format", "json"),
    )

    assert re.search(r"fed as \[0, 1\] it would be 9[5-9]\.\d%", run.err)
    doubt = json.loads(run.out)["not_checked"][0]
    assert re.search(r"on 9[5-9]\.\d% fed as \[0, 1\]", doubt)
