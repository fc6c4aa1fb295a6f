from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from rnp_cli.export.quarantine import Quarantine
from rnp_cli.pipeline import filter as pipeline
from rnp_cli.report.filtering import Filtering


@pytest.fixture
def inbox(digits: Any, tmp_path: Path) -> Path:
    """Three triggered images of each of two classes, and a clean one of each."""
    folder = tmp_path / "inbox"
    for digit in ("0", "3"):
        (folder / digit).mkdir(parents=True)
        for file in sorted((digits.triggered / digit).iterdir())[:3]:
            shutil.copy(file, folder / digit / f"triggered-{file.name}")
        file = min((digits.clean / digit).iterdir())
        shutil.copy(file, folder / digit / f"clean-{file.name}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_triggered_images_are_suspect_and_nothing_is_written(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    run = rnp(
        "filter",
        digits.model,
        "--clean-dir",
        digits.clean,
        "--suspects",
        digits.triggered,
        "--format",
        "json",
    )

    assert run.code == 0
    found = Filtering.model_validate(json.loads(run.out))
    assert found.counts.scored == 180
    assert found.counts.suspect > 170
    assert found.counts.suspect_by_class[7] == found.counts.suspect
    assert len(found.most_suspect) == 20
    assert set(found.run.stages) == {"read", "samples", "unlearn", "score"}
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "filtering.json").write_text(run.out)
    assert "images are suspect" in rnp("inspect", "filtering.json").out


def test_a_sanitized_file_is_asked_instead_of_unlearning(
    rnp: Any, digits: Any, sanitized: Any, inbox: Path, tmp_path: Path
) -> None:
    run = rnp(
        "filter",
        digits.model,
        "--clean-dir",
        digits.clean,
        "--suspects",
        digits.triggered,
        "--sanitized",
        sanitized.model,
        "--format",
        "json",
    )

    assert run.code == 0
    found = Filtering.model_validate(json.loads(run.out))
    assert found.sanitized is not None
    assert found.sanitized.file == sanitized.model.name
    assert (found.unlearn, found.stops) == (None, 0)
    assert found.counts.suspect > 170
    assert found.rate.holdout == sanitized.result.report.samples.holdout
    (tmp_path / "h.toml").write_text("holdout_share = 0.6\n")
    run = rnp(
        *("filter", digits.model, "--clean-dir", digits.clean),
        *("--suspects", inbox, "--sanitized", sanitized.model),
        *("--config", tmp_path / "h.toml", "--format", "json"),
    )
    assert Filtering.model_validate(json.loads(run.out)).rate.holdout == 180
    assert set(found.run.stages) == {"read", "read-sibling", "samples", "score"}


def test_the_model_itself_is_no_sanitized_file(
    rnp: Any, digits: Any, tmp_path: Path
) -> None:
    copied = shutil.copy(digits.model, tmp_path / "copy.pt")

    run = rnp(
        *("filter", digits.model, "--clean-dir", digits.clean),
        *("--suspects", digits.triggered, "--sanitized", copied),
    )

    assert run.code == 3
    assert "the model's own weights" in run.err


def test_clean_images_are_suspect_about_as_often_as_stated(
    rnp: Any, digits: Any
) -> None:
    """The model has not seen them; the ascent has seen half of them."""
    run = rnp(
        "filter",
        digits.model,
        "--clean-dir",
        digits.clean,
        "--suspects",
        digits.clean,
        "--fpr",
        "0.1",
        "--format",
        "json",
    )

    counts = Filtering.model_validate(json.loads(run.out)).counts
    assert counts.scored == 300
    assert 0.03 * 300 < counts.suspect < 0.17 * 300


@pytest.mark.parametrize("move", [False, True])
def test_every_file_is_listed_and_suspects_are_put_aside(
    rnp: Any, digits: Any, inbox: Path, tmp_path: Path, move: bool
) -> None:
    before = contents(inbox)
    run = rnp(
        "filter",
        digits.model,
        "--clean-dir",
        digits.clean,
        "--suspects",
        inbox,
        "--output",
        "list.csv",
        "--quarantine",
        "aside",
        *(["--move"] if move else []),
    )

    assert run.code == 0
    rows = rows_of(tmp_path / "list.csv")
    assert [row["file"] for row in rows] == list(before)
    suspect = {row["file"] for row in rows if row["suspect"] == "yes"}
    assert suspect == {name for name in before if "triggered" in name}
    assert contents(tmp_path / "aside") == {name: before[name] for name in suspect}
    left = {name: before[name] for name in before if not move or name not in suspect}
    assert contents(inbox) == left
    assert "6 of 8 images are suspect" in run.out


def test_a_file_that_cannot_be_read_is_told_after_all_others(
    rnp: Any, digits: Any, inbox: Path, tmp_path: Path
) -> None:
    (inbox / "0" / "broken.png").write_bytes(b"\x89PNG no more")
    (inbox / "out.png").symlink_to(digits.model)
    (inbox / "notes.txt").touch()

    run = rnp(
        "filter",
        digits.model,
        "--clean-dir",
        digits.clean,
        "--suspects",
        inbox,
        "--output",
        "list.jsonl",
    )

    assert run.code == 3
    assert "Files that could not be read: 2" in run.out
    assert "others in the folder: 1." in run.out
    lines = (tmp_path / "list.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    errors = {row["file"]: row["error"] for row in rows if row["error"]}
    assert set(errors) == {"0/broken.png", "out.png"}
    assert len(rows) == 10


def test_a_rate_below_what_the_samples_can_tell_is_said(
    rnp: Any, digits: Any, inbox: Path
) -> None:
    run = rnp(
        "filter",
        digits.model,
        "--clean-dir",
        digits.clean,
        "--suspects",
        inbox,
        "--fpr",
        "0.0001",
    )

    assert run.code == 0
    assert "false-positive rate of 0.66%" in run.out
    assert "150 held-out images can tell rates from 0.66% on" in run.out


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--output", "list.txt"], 2, ".csv"),
        (["--output", "there.csv"], 2, "--force"),
        (["--move"], 2, "--quarantine"),
        (["--quarantine", "."], 2, "not empty"),
        (["--suspects", "missing"], 2, "no folder"),
        (["--suspects", "empty"], 3, "no images"),
    ],
)
def test_what_cannot_end_well_is_refused_before_the_work(
    rnp: Any,
    digits: Any,
    inbox: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.setattr(pipeline, "read_model", None)  # not reached
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "empty").mkdir()

    run = rnp(
        "filter",
        digits.model,
        "--clean-dir",
        digits.clean,
        "--suspects",
        inbox,
        *options,
    )

    assert run.code == code
    assert words in run.err
    assert (tmp_path / "there.csv").read_text() == "mine"


def moving(digits: Any, inbox: Path, output: str) -> list[object]:
    options = ["--output", output, "--quarantine", "aside", "--move"]
    inputs = [digits.model, "--clean-dir", digits.clean, "--suspects", inbox]
    return ["filter", *inputs, *options]


def test_a_suspect_that_cannot_be_moved_is_told_after_all_others(
    rnp: Any,
    digits: Any,
    inbox: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take = Quarantine.take
    gone = min((inbox / "0").glob("triggered-*"))

    def take_late(quarantine: Quarantine, file: Path) -> None:
        gone.unlink(missing_ok=True)  # by somebody else, after it was judged
        take(quarantine, file)

    monkeypatch.setattr(Quarantine, "take", take_late)

    run = rnp(*moving(digits, inbox, "list.csv"))

    assert run.code == 3
    rows = rows_of(tmp_path / "list.csv")
    assert len(rows) == 8
    [failed] = [row for row in rows if row["error"]]
    assert failed["file"] == f"0/{gone.name}"
    assert failed["suspect"] == "yes"
    assert "No such file" in failed["error"]
    assert "could not be put aside" in run.out
    assert len(contents(tmp_path / "aside")) == 5


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("output", ["list.csv", "list.json"])
def test_what_has_moved_is_listed_when_the_run_is_interrupted(
    rnp: Any,
    digits: Any,
    inbox: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    before: int,
) -> None:
    take = Quarantine.take

    def interrupted(quarantine: Quarantine, file: Path) -> None:
        if quarantine.taken == before:
            raise KeyboardInterrupt
        take(quarantine, file)

    monkeypatch.setattr(Quarantine, "take", interrupted)

    run = rnp(*moving(digits, inbox, output))

    assert run.code == 130
    assert "Interrupted." in run.err
    assert "nothing was written" not in run.err
    file = tmp_path / output
    assert file.exists() == (before > 0)
    assert list(tmp_path.glob(".rnp-*")) == []
    if before:
        assert "Files moved to aside before that: 2." in run.err
        text = file.read_text()
        rows = json.loads(text) if output == "list.json" else rows_of(file)
        moved = set(contents(tmp_path / "aside"))
        assert len(moved) == 2
        assert moved < {row["file"] for row in rows}
        assert len(rows) < 8


def test_an_error_after_files_were_moved_says_where_they_are(
    rnp: Any,
    digits: Any,
    inbox: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    run = rnp(*moving(digits, inbox, "list.csv"))

    assert run.code == 2
    assert "No space left" in run.err
    assert "Files moved to aside before that: 6." in run.err
