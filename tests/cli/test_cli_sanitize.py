from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import rnp_cli.pipeline
from rnp_cli.checkpoints.header import read_safetensors_metadata
from rnp_cli.cli import ci
from rnp_cli.report.sanitization import Report


def refused(run: Any, code: int, message: str) -> None:
    """The run ended in one panel on stderr, and printed no result."""
    assert (run.code, run.out) == (code, "")
    assert message in run.err
    assert "Traceback" not in run.err


def test_json_is_all_that_goes_to_stdout(
    rnp: Any, digits: Any, sanitized: Any, tmp_path: Path
) -> None:
    run = rnp(
        *("sanitize", digits.model, "--clean-dir", digits.clean),
        *("--device", "cpu", "--format", "json"),
    )

    assert run.code == 0
    report = Report.model_validate_json(run.out)
    model = tmp_path / f"{digits.model.stem}.sanitized.safetensors"
    report_path = tmp_path / f"{digits.model.stem}.report.json"
    statement = tmp_path / f"{digits.model.stem}.intoto.json"
    assert sorted(tmp_path.iterdir()) == sorted([model, report_path, statement])
    assert json.loads(report_path.read_text()) == json.loads(run.out)
    assert read_safetensors_metadata(model)["rnp_report_sha256"] == report.digest()
    assert report.pruned == sanitized.result.report.pruned
    for words in ("Read the checkpoint", "Unlearn", "Recover", "Choose what to prune"):
        assert words in run.err


def test_no_safe_threshold_exits_with_1_and_writes_the_report_alone(
    rnp: Any, digits: Any, stuck_config: Path, tmp_path: Path
) -> None:
    run = rnp(
        *("sanitize", digits.model, "--clean-dir", digits.clean),
        *("--config", stuck_config, "--max-samples", 100, "-o", "safe.safetensors"),
        *("--method", "rnp", "--when", "always"),
    )

    assert run.code == 1
    assert "No safe threshold" in run.out
    assert "safe.report.json" in run.out
    assert [path.name for path in tmp_path.iterdir()] == ["safe.report.json"]


def test_a_floor_out_of_reach_exits_with_1_and_writes_nothing(
    rnp: Any, digits: Any, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    config = tmp_path_factory.mktemp("config") / "rnp.toml"
    config.write_text("[unlearn]\nlearning_rate = 1e-12\nmax_epochs = 1\n")

    run = rnp(
        *("sanitize", digits.model, "--clean-dir", digits.clean),
        *("--config", config, "--max-samples", 100),
        *("--method", "rnp", "--when", "always"),
    )

    refused(run, 1, "did not reach its floor")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_refused_in_a_panel(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    (tmp_path / "mine.safetensors").write_text("mine")

    run = rnp(
        *("sanitize", digits.model, "--clean-dir", digits.clean),
        *("--output", "mine.safetensors"),
    )

    refused(run, 2, "mine.safetensors is already there")
    assert "--force" in run.err
    assert (tmp_path / "mine.safetensors").read_text() == "mine"


def test_several_files_are_written_beside_one_report(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    run = rnp(
        *("sanitize", digits.model, "--clean-dir", digits.clean, "--device", "cpu"),
        *("-o", "a.pt2", "--output", "b.onnx", "--compact"),
        *("--method", "rnp", "--when", "always"),
    )

    assert run.code == 0
    assert "pruned channels left out" in " ".join(run.out.split())
    names = ["a.pt2", "a.report.json", "b.onnx"]
    beside = ["a.intoto.json", *names]
    assert sorted(path.name for path in tmp_path.iterdir()) == beside
    for name in names:
        shown = rnp("inspect", name, "--format", "json")
        assert (shown.code, shown.err) == (0, "")
        outputs = Report.model_validate_json(shown.out).outputs
        assert [output.file for output in outputs] == ["a.pt2", "b.onnx"]


def test_one_output_that_is_there_keeps_all_from_being_written(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    (tmp_path / "b.onnx").write_text("mine")

    run = rnp(
        *("sanitize", digits.model, "--clean-dir", digits.clean),
        *("-o", "a.safetensors", "-o", "b.onnx"),
    )

    refused(run, 2, "b.onnx is already there")
    assert [path.name for path in tmp_path.iterdir()] == ["b.onnx"]


BAD_OPTIONS: list[tuple[list[str], str]] = [
    (["--device", "cuda:99"], "cuda:99"),
    (["--device", "abacus"], "abacus"),
    (["--mean", "a,b"], "--mean"),
    (["--mean", "nan"], "--mean"),
    (["--std", "0"], "--std"),
    (["--std", "inf"], "--std"),
    (["--range", "0"], "--range"),
    (["--range", "1,0"], "--range"),
    (["--range", "nan,1"], "--range"),
    (["--input-size", "32x"], "--input-size"),
    (["--input-size", "0"], "--input-size"),
    (["--output", "model.pt"], ".safetensors"),
    (["--output", "missing/model.safetensors"], "missing"),
    (["--compact"], "model.sanitized.safetensors cannot be compact"),
    (["-o", "a.onnx", "-o", "./a.onnx"], "one file"),
    (["--arch", "no-such-network"], "no-such-network"),
    (["--config", "missing.toml"], "missing.toml"),
]


@pytest.mark.parametrize(("options", "named"), BAD_OPTIONS, ids=lambda o: str(o))
def test_a_bad_value_is_named_in_a_panel(
    rnp: Any, digits: Any, tmp_path: Path, options: list[str], named: str
) -> None:
    run = rnp("sanitize", digits.model, "--clean-dir", digits.clean, *options)

    refused(run, 2, named)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        ["--labels", "guess"],
        ["--max-accuracy-drop", "-1"],
        ["--max-accuracy-drop", "100"],
        ["--max-accuracy-drop", "nan"],
        ["--max-samples", "1"],
        ["--seed", "-1"],
        ["--seed", str(2**64)],
        ["--format", "xml"],
        ["--unheard-of"],
    ],
    ids=str,
)
def test_a_value_outside_its_range_is_a_usage_error(
    rnp: Any, digits: Any, options: list[str]
) -> None:
    run = rnp("sanitize", digits.model, "--clean-dir", digits.clean, *options)

    refused(run, 2, "Usage")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[recover]\nepochs = 0\n", "recover.epochs"),
        ("[unlearn]\nlearning_rat = 1\n", "learning_rat"),
        ("[unlearn]\nlearning_rate = -1\n", "unlearn.learning_rate"),
        ("[unlearn\n", "config.toml"),
        ("threshold = 3\n", "threshold"),
        ("[threshold]\npatience = 0\n", "threshold.patience"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--max-accuracy-drop", "1"]], ids=str)
def test_a_bad_config_is_named_in_a_panel(
    rnp: Any, digits: Any, tmp_path: Path, text: str, named: str, options: list[str]
) -> None:
    (tmp_path / "config.toml").write_text(text)

    run = rnp(
        *("sanitize", digits.model, "--clean-dir", digits.clean),
        *("--config", "config.toml", *options),
    )

    refused(run, 2, named)
    assert "config.toml" in run.err


def test_a_missing_folder_is_a_usage_error(rnp: Any, digits: Any) -> None:
    refused(rnp("sanitize", digits.model, "--clean-dir", "missing"), 2, "missing")


def test_a_checkpoint_that_is_none_exits_with_3(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    (tmp_path / "model.pt").write_bytes(b"not a checkpoint")

    run = rnp("sanitize", "model.pt", "--clean-dir", digits.clean)

    refused(run, 3, "Input refused")


def test_a_model_at_chance_exits_with_3(rnp: Any, digits: Any, tmp_path: Path) -> None:
    run = rnp(
        *("sanitize", digits.model, "--clean-dir", digits.clean),
        *("--range", "0,1e-6", "--device", "cpu"),
    )

    assert run.code == 3
    assert "cannot be sanitized" in run.err
    assert list(tmp_path.iterdir()) == []


def test_a_hostile_file_name_acts_on_nothing(rnp: Any, digits: Any) -> None:
    run = rnp("sanitize", "\x1b[31m[red]x.pt", "--clean-dir", digits.clean)

    assert run.code in (2, 3)
    assert "\\x1b[31m[red]x.pt" in run.err
    assert "\x1b" not in run.err


def test_a_bug_keeps_its_traceback_and_never_exits_with_1(
    rnp: Any, digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the tensors disagree")

    monkeypatch.setattr(rnp_cli.pipeline, "sanitize", broken)

    run = rnp("sanitize", digits.model, "--clean-dir", digits.clean)

    assert (run.code, run.out) == (2, "")
    assert "Traceback" in run.err
    assert "RuntimeError: the tensors disagree" in run.err
    assert "bug" in run.err


def test_an_interrupt_exits_with_130(
    rnp: Any, digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rnp_cli.pipeline, "sanitize", interrupted)

    refused(
        rnp("sanitize", digits.model, "--clean-dir", digits.clean), 130, "Interrupted"
    )


def test_without_arguments_help_is_shown(rnp: Any) -> None:
    run = rnp()

    assert run.code == 2
    assert "sanitize" in run.out + run.err


def test_a_policy_that_is_broken_is_told_and_ends_with_1(
    rnp: Any, digits: Any, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    config = tmp_path_factory.mktemp("config") / "rnp.toml"
    config.write_text("[inversion]\nsteps = 2\n")  # unlearning alone convicts

    run = rnp(
        *("sanitize", digits.model, "--clean-dir", digits.clean, "-o", "s.safetensors"),
        *("--config", config, "--method", "rnp", "--device", "cpu"),
        *("--fail-on", "backdoor", "--fail-on", "accuracy=100"),
    )

    assert run.code == 1
    assert "Policy: the model as it came shows" in run.err
    assert run.err.count("Policy:") == 1
    assert (tmp_path / "s.safetensors").exists()


def test_what_is_accepted_does_not_fail_and_stays_told(
    rnp: Any, digits: Any, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    team = tmp_path_factory.mktemp("team")
    digest = hashlib.sha256(digits.model.read_bytes()).hexdigest()
    entry = f'[[accepted]]\nmodel = "{digest}"\nrule = "backdoor"\nreason = "SEC-7"\n'
    (team / "accepted.toml").write_text(f"{entry}expires = 2999-12-31\n")
    (team / "rnp.toml").write_text(
        "[options]\naccepted = 'accepted.toml'\ndevice = 'cpu'\nmax-samples = 290\n"
        "[sanitize]\nfail-on = ['backdoor']\nmethod = 'rnp'\n[inversion]\nsteps = 2\n"
    )
    command = ("sanitize", digits.model, "--clean-dir", digits.clean)

    run = rnp(*command, "-o", "s.safetensors", "--config", team / "rnp.toml")

    assert run.code == 0
    assert "Accepted until 2999-12-31 (SEC-7): the model as it came shows" in run.err
    report = Report.model_validate_json((tmp_path / "s.report.json").read_bytes())
    assert report.breaches[0].accepted is not None
    assert report.run.sources["accepted"] == "rnp.toml"
    assert rnp("inspect", "s.safetensors", "-o", "s.sarif").code == 0
    [sarif] = json.loads((tmp_path / "s.sarif").read_text())["runs"]
    assert sarif["results"][0]["suppressions"]

    (team / "accepted.toml").write_text(f"{entry}expires = 2020-01-31\n")
    run = rnp(
        *(*command, "-o", "s.safetensors", "--config", team / "rnp.toml", "--force"),
        *("--format", "sarif"),
    )

    assert run.code == 1
    assert "its acceptance expired on 2020-01-31" in run.err
    [sarif] = json.loads(run.out)["runs"]
    assert sarif["invocations"][0]["exitCode"] == 1
    assert sarif["artifacts"][0]["location"] == {"uri": digits.model.as_uri()}


def test_a_job_does_not_pass_without_the_settings_beside_the_model(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    model = shutil.copy(digits.model, tmp_path)
    (tmp_path / "rnp.toml").write_text("[sanitize]\nfail-on = ['backdoor']\n")

    run = rnp("sanitize", model, "--clean-dir", digits.clean, "--ci")

    refused(run, 2, "rnp.toml was not read")
    assert "error: rnp: rnp.toml was not read" in run.err
    assert "--config rnp.toml" in run.err


def test_a_summary_that_cannot_be_written_is_told(
    sanitized: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "missing" / "summary.md"))

    ci.tell(sanitized.result.report)

    said = capsys.readouterr().err
    assert "The summary could not be written to" in said
    assert "No such file or directory." in said


def test_a_setting_that_does_not_fit_is_named_in_a_panel(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    (tmp_path / "rnp.toml").write_text("[options]\n'[red]\\u001b' = 3\n")

    run = rnp("sanitize", digits.model, "--clean-dir", digits.clean, "--ci")

    assert "error: rnp: rnp.toml: [options] has no key" in run.err
    run = rnp("sanitize", digits.model, "--clean-dir", digits.clean)

    refused(run, 2, "rnp.toml: [options] has no key")
    assert "\x1b" not in run.err


def test_without_the_library_a_bom_is_refused_before_the_work(
    rnp: Any, digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cyclonedx.output.json", None)

    run = rnp("sanitize", digits.model, "--clean-dir", digits.clean, "--bom")

    refused(run, 2, "pip install 'rnp-cli[bom]'")
    assert "Read the checkpoint" not in run.err
    assert list(tmp_path.iterdir()) == []
