from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from writing import weights_only

from rnp_cli.errors import InputRefused, OutputExists, UsageError
from rnp_cli.events import ignore
from rnp_cli.export.safetensors import safetensors_bytes, tensors_sha256
from rnp_cli.pipeline import SanitizeRequest
from rnp_cli.pipeline.outputs import check_outputs, write
from rnp_cli.report.sanitization import OutputInfo, Report
from rnp_cli.verifying import verify

FILES = ("model", "report", "statement", "bom")


def holds(model: Path) -> bool:
    """Whether verify says that all is well; a refusal says that it is not."""
    try:
        return verify(model).agrees
    except InputRefused:
        return False


def broken(model: Path) -> set[tuple[str, str, str]]:
    links = verify(model).links
    return {(k.said_by, k.of, k.state) for k in links if k.state != "ok"}


@pytest.fixture
def small(sanitized: Any, digits: Any, tmp_path: Path) -> Callable[[str], Path]:
    """Files of a model with few values and a short report, for many tries."""
    tensors = {"weight": torch.arange(6.0).view(2, 3), "count": torch.tensor(3)}
    output = tmp_path / "s.safetensors"
    report = sanitized.result.report.model_copy(
        update={
            "unlearn": None,
            "pruning": None,
            "triggers": (),
            "tried": (),
            "outputs": (
                OutputInfo(
                    file=output.name,
                    format="safetensors",
                    tensors_sha256=tensors_sha256(tensors),
                ),
            ),
        }
    )
    request = SanitizeRequest(
        model=digits.model, clean_dir=digits.clean, outputs=(output,), bom=True
    )
    places = (output, tmp_path / "s.report.json")
    write(request, places, report, {output: weights_only(tensors)}, ignore)
    paths = {
        "model": output,
        "report": places[1],
        "statement": tmp_path / "s.intoto.json",
        "bom": tmp_path / "s.cdx.json",
    }
    return paths.__getitem__


def unnoticed(path: Path, model: Path, step: int) -> list[int]:
    """Flip a bit at every so many bytes; return where verify said all is well."""
    before = path.read_bytes()
    missed = []
    for position in range(0, len(before), step):
        changed = bytearray(before)
        changed[position] ^= 1 << (position // step % 8)
        path.write_bytes(changed)
        if holds(model):
            missed.append(position)
    path.write_bytes(before)
    return missed


@pytest.mark.parametrize(
    ("which", "step"), [("model", 1), ("report", 5), ("statement", 1), ("bom", 1)]
)
def test_every_changed_byte_is_noticed(
    small: Callable[[str], Path], which: str, step: int
) -> None:
    assert holds(small("model"))

    assert unnoticed(small(which), small("model"), step) == []

    assert holds(small("model"))


@pytest.mark.parametrize(("which", "step"), [("model", 997), ("report", 97)])
def test_a_changed_byte_of_the_example_is_noticed(
    released: Any, which: str, step: int
) -> None:
    assert holds(released.model)

    assert unnoticed(getattr(released, which), released.model, step) == []


@pytest.mark.parametrize("which", FILES)
@pytest.mark.parametrize("added", [b"\n", b" ", b"\0"])
def test_an_added_byte_is_noticed(released: Any, which: str, added: bytes) -> None:
    path = getattr(released, which)
    path.write_bytes(path.read_bytes() + added)

    assert not holds(released.model)


@pytest.mark.parametrize("which", FILES[1:])
def test_a_file_that_is_gone_is_missing(released: Any, which: str) -> None:
    getattr(released, which).unlink()

    states = {state for _, _, state in broken(released.model)}
    assert states == {"missing"}


def test_without_a_report_no_file_that_is_there_is_called_missing(
    released: Any,
) -> None:
    """What else the statement names may be other models of the run."""
    released.report.unlink()
    said = json.loads(released.statement.read_text())
    said["subject"].append({"name": "m.onnx", "digest": {"sha256": "0" * 64}})
    released.statement.write_text(json.dumps(said))

    missing = {what for _, what, state in broken(released.model) if state == "missing"}

    assert "report file" in missing
    assert "file m.onnx" not in missing


def test_without_a_bom_nothing_is_missing(sanitized: Any) -> None:
    verification = verify(sanitized.model)

    assert verification.agrees
    assert "bom" not in {file.role for file in verification.files}
    assert len(verification.links) == 9


def test_a_bom_that_the_statement_does_not_name_is_told(
    sanitized: Any, released: Any
) -> None:
    """One of an earlier run, say."""
    for path in sanitized.result.written:
        shutil.copy(path, released.model.parent)

    wrong = broken(released.model)

    assert ("statement", "BOM file", "missing") in wrong
    assert {said_by for said_by, _, _ in wrong} <= {"statement", "bom"}


def test_what_differs_is_shown_with_both_digests(released: Any) -> None:
    content = json.loads(released.report.read_text())
    content["seed"] = 1
    released.report.write_text(json.dumps(content))

    links = {(k.said_by, k.of): k for k in verify(released.model).links}

    link = links["model", "report, but times"]
    assert link.state == "differs"
    assert link.found == Report.model_validate(content).digest()
    assert link.said != link.found
    assert links["statement", "run in the report"].state == "differs"
    assert links["statement", "report file"].state == "differs"
    assert links["report", "model's tensors"].state == "ok"


def test_the_time_of_the_run_counts_too(released: Any) -> None:
    content = json.loads(released.report.read_text())
    content["run"]["started"] = "2001-01-01T00:00:00+00:00"
    released.report.write_text(json.dumps(content, indent=2) + "\n")

    wrong = broken(released.model)

    assert ("statement", "run in the report", "differs") in wrong
    assert ("model", "report, but times", "differs") not in wrong


def test_an_option_that_the_report_does_not_hold_counts(released: Any) -> None:
    text = released.statement.read_text()
    released.statement.write_text(text.replace('"evidence"', '"always"'))

    assert broken(released.model) == {("model", "run in the statement", "differs")}


def test_other_spaces_count(released: Any) -> None:
    content = json.loads(released.statement.read_text())
    released.statement.write_text(json.dumps(content))

    assert broken(released.model) == {("statement", "its own form", "differs")}


def test_a_subject_that_nobody_knows_is_missing(released: Any) -> None:
    text = released.statement.read_text()
    released.statement.write_text(text.replace("digits.cdx.json", "\\u001b.json"))

    wrong = broken(released.model)

    assert ("statement", "file \\x1b.json", "missing") in wrong
    assert ("statement", "BOM file", "missing") in wrong


def test_files_may_lie_elsewhere_and_the_model_may_be_renamed(
    released: Any, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    model = released.model.rename(tmp_path / "renamed.bin")
    moved = {
        which: getattr(released, which).rename(elsewhere / f"{which}.json")
        for which in FILES[1:]
    }

    assert verify(model, **moved).agrees
    assert not verify(model).agrees


@pytest.mark.parametrize("which", FILES[1:])
def test_a_path_that_leads_nowhere_is_a_usage_error(released: Any, which: str) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.json"):
        verify(released.model, **{which: Path("nowhere.json")})


@pytest.mark.parametrize("which", FILES[1:])
@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"\xff", b"{}", b"[" * 9000, b'{"a":' * 9000, b"9" * 9000],
    ids=lambda c: repr(c[:4]),
)
def test_what_is_not_such_a_file_is_refused(
    released: Any, which: str, content: bytes
) -> None:
    getattr(released, which).write_bytes(content)

    with pytest.raises(InputRefused) as refusal:
        verify(released.model)

    assert getattr(released, which).name in refusal.value.message
    assert refusal.value.hint


@pytest.mark.parametrize("which", FILES[1:])
def test_a_huge_file_and_a_folder_are_refused(released: Any, which: str) -> None:
    path = getattr(released, which)
    with path.open("r+b") as file:
        file.truncate(1 << 31)
    with pytest.raises(InputRefused, match="too large"):
        verify(released.model)

    path.unlink()
    path.mkdir()
    with pytest.raises(InputRefused, match="not a file"):
        verify(released.model)


@pytest.mark.parametrize(
    "values",
    [
        {"started": "yesterday"},
        {"started": "0001-01-01T00:00:00+14:00"},
        {"seconds": 1e300},
        {"seconds": float("nan")},
    ],
    ids=str,
)
def test_a_report_of_an_impossible_run_is_refused(
    released: Any, values: dict[str, Any]
) -> None:
    content = json.loads(released.report.read_text())
    content["run"] |= values
    released.report.write_text(json.dumps(content))

    with pytest.raises(InputRefused, match="no run gives"):
        verify(released.model)


@pytest.mark.parametrize(
    "name", ["../x.report.json", "/etc/passwd", "", ".", "..", "x\0y", "x" * 5000]
)
def test_metadata_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "x.report.json").write_text("{}")
    model = folder / "m.safetensors"
    tensors = {"a": torch.ones(1)}
    model.write_bytes(safetensors_bytes(tensors, {"rnp_report": name}))

    with pytest.raises(InputRefused) as refusal:
        verify(model)

    assert "is not a report of rnp" not in refusal.value.message


def test_a_model_that_rnp_did_not_write_is_refused(digits: Any, tmp_path: Path) -> None:
    foreign = tmp_path / "model.safetensors"
    foreign.write_bytes(safetensors_bytes({"a": torch.ones(1)}, {"format": "pt"}))

    with pytest.raises(InputRefused, match="not written by rnp"):
        verify(foreign)
    with pytest.raises(InputRefused, match="neither"):
        verify(digits.model)


def test_what_agreement_does_not_show_is_said(released: Any) -> None:
    notes = " ".join(verify(released.model).not_checked)

    assert "signed" in notes
    assert "model_signing sign key" in notes


def test_a_bom_of_an_earlier_run_does_not_stay_beside_a_new_model(
    released: Any, sanitized: Any, digits: Any
) -> None:
    asked = {"model": digits.model, "clean_dir": digits.clean}
    again = SanitizeRequest(**asked, outputs=(released.model,))
    with pytest.raises(OutputExists):
        check_outputs(again)
    again = again.model_copy(update={"force": True})
    models = {released.model: weights_only(sanitized.result.state_dict)}

    write(again, check_outputs(again), sanitized.result.report, models, ignore)

    assert not released.bom.exists()
    assert verify(released.model).agrees
