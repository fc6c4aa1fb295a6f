from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from rnp_cli.report.verification import Verification


def test_files_that_agree_exit_with_0(rnp: Any, released: Any) -> None:
    run = rnp("verify", released.model)

    assert (run.code, run.err) == (0, "")
    assert "All 13 links agree" in run.out
    assert "differs" not in run.out


def test_json_is_whole_and_alone(rnp: Any, released: Any) -> None:
    run = rnp("verify", released.model, "--format", "json")

    assert run.code == 0
    verification = Verification.model_validate_json(run.out)
    roles = [file.role for file in verification.files]
    assert roles == ["model", "report", "statement", "bom"]


def test_a_difference_exits_with_1_and_is_shown(rnp: Any, released: Any) -> None:
    released.bom.write_text(released.bom.read_text().replace("0.98", "1.00"))

    run = rnp("verify", released.model)

    assert run.code == 1
    assert "1 of 13 links do not hold" in run.out
    assert "said " in run.out
    assert "found " in run.out


def test_a_missing_statement_exits_with_1(rnp: Any, released: Any) -> None:
    released.statement.unlink()

    run = rnp("verify", released.model)

    assert run.code == 1
    assert "(not there)" in run.out
    assert "Not there: statement" in run.out
    assert "do not agree" not in run.out
    assert "missing" in run.out


def test_a_refused_file_exits_with_3(rnp: Any, released: Any) -> None:
    released.report.write_bytes(b"{}")

    run = rnp("verify", released.model)

    assert (run.code, run.out) == (3, "")
    assert "Input refused" in run.err


@pytest.mark.parametrize(
    "arguments", [["missing.safetensors"], ["digits.report.json", "--bom", "missing"]]
)
def test_a_path_that_leads_nowhere_exits_with_2(rnp: Any, arguments: list[str]) -> None:
    run = rnp("verify", *arguments)

    assert (run.code, run.out) == (2, "")
    assert "missing" in run.err


def test_names_from_the_files_act_on_nothing(
    rnp: Any, released: Any, tmp_path: Path
) -> None:
    text = released.statement.read_text()
    hostile = "\\u001b[31m[red]\\u202e"
    other = tmp_path / "\x1b[31m[red].json"
    other.write_text(text.replace("digits.cdx.json", hostile))

    run = rnp("verify", released.model, "--statement", other)

    assert run.code == 1
    assert "\\x1b[31m[red]" in run.out
    assert "\x1b" not in run.out
    assert "\u202e" not in run.out


def test_a_run_with_a_bom_is_verified_whole_and_to_the_byte_again(
    rnp: Any, digits: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = tmp_path_factory.mktemp("config") / "rnp.toml"
    config.write_text("[inversion]\nsteps = 2\n")  # unlearning alone convicts
    command = [
        *("sanitize", digits.model, "--clean-dir", digits.clean, "--bom"),
        *("--config", config, "--method", "rnp", "--device", "cpu"),
    ]

    assert rnp(*command, "-o", "s.safetensors").code == 0
    assert rnp("verify", "s.safetensors").code == 0
    first = tmp_path / "first"
    first.mkdir()
    for path in tmp_path.glob("s.*"):
        shutil.move(path, first)
    assert rnp(*command, "-o", "s.safetensors").code == 0

    names = {path.name for path in first.iterdir()}
    written = {"s.safetensors", "s.report.json", "s.intoto.json", "s.cdx.json"}
    assert names == written
    bom = (first / "s.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom) is None
    model = "s.safetensors"
    assert (tmp_path / model).read_bytes() == (first / model).read_bytes()
    one, other = (
        json.loads((folder / "s.intoto.json").read_text())
        for folder in (first, tmp_path)
    )
    parameters = one["predicate"]["buildDefinition"]["externalParameters"]
    assert parameters["config"] == {"inversion": {"steps": 2}}
    for statement in (one, other):
        del statement["predicate"]["runDetails"]["metadata"]
        del statement["subject"][1:]  # the report and the BOM, which hold times
    assert one == other
