from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from rnp_cli.report.triggers import TriggerReport

CORNER = np.s_[-3:, -3:]  # where the example's trigger is


@pytest.fixture
def args(digits: Any) -> list[object]:
    return ["trigger", digits.model, "--clean-dir", digits.clean, "--device", "cpu"]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image) / 255


def test_the_examples_trigger_is_recovered_and_tried_on_the_sanitized_model(
    rnp: Any, args: list[object], sanitized: Any, tmp_path: Path
) -> None:
    run = rnp(*args, "--sanitized", sanitized.model)

    assert run.code == 0
    assert "class 7" in run.out
    assert "estimated" in run.out
    assert "Wrote model.trigger" in run.out
    assert "Recover triggers" in run.err
    folder = tmp_path / "model.trigger"
    report = TriggerReport.model_validate_json((folder / "triggers.json").read_text())
    smallest = min(report.triggers, key=lambda trigger: trigger.norm)
    assert smallest.target == 7
    assert smallest.index is not None
    assert smallest.index > 2
    assert smallest.estimated_success > 0.7
    assert smallest.estimated_success_sanitized is not None
    assert smallest.estimated_success_sanitized < 0.3
    assert {trigger.target for trigger in report.triggers} == {None, *range(10)}
    mask = pixels(folder / "class-7.mask.png")
    assert mask.shape == (8, 8)
    assert mask[CORNER].sum() > 0.8 * mask.sum()
    assert (pixels(folder / "class-7.trigger.png") <= mask).all()
    named = {name for trigger in report.triggers for name in trigger.files}
    assert "any-class.mask.png" in named
    assert {path.name for path in folder.iterdir()} == {
        "sheet.png",
        "triggers.json",
        *named,
    }
    shown = rnp("inspect", folder / "triggers.json")
    assert (shown.code, shown.err) == (0, "")
    assert run.out == shown.out + "Wrote model.trigger\n"


@pytest.mark.parametrize("on", ["original", "unlearned"])
def test_only_the_classes_asked_for_are_looked_at(
    rnp: Any, args: list[object], tmp_path: Path, on: str
) -> None:
    asked = ["--target", "7", "--target", "3", "--on", on, "--format", "json"]

    run = rnp(*args, *asked, "--output", "found")

    assert run.code == 0
    report = TriggerReport.model_validate(json.loads(run.out))
    assert [trigger.target for trigger in report.triggers] == [3, 7]
    assert report.triggers[1].norm < report.triggers[0].norm
    assert report.triggers[1].success_where_found > 0.7
    assert report.triggers[1].estimated_success_sanitized is None
    assert ("unlearn" in report.run.stages) == (on == "unlearned")
    assert ("unlearn" in report.settings) == (on == "unlearned")
    assert report.settings.keys() - {"unlearn"} == {
        *("most_classes", "inversion", "verdict")
    }
    assert report.settings["verdict"] == {"usual_spread": 0.3, "usual_classes": 3.0}
    if report.unlearn is not None:
        left = [epoch.clean_accuracy for epoch in report.unlearn.epochs]
        assert min(left) > report.unlearn.floor
    assert (tmp_path / "found" / "sheet.png").exists()


def test_a_folder_that_exists_is_refused_and_replaced_only_by_force(
    rnp: Any, args: list[object], tmp_path: Path
) -> None:
    folder = tmp_path / "model.trigger"
    folder.mkdir()
    old = folder / "class-9.mask.png"
    old.touch()

    refused = rnp(*args, "--target", 7)
    kept = old.exists()
    forced = rnp(*args, "--target", 7, "--force")

    assert (refused.code, kept) == (2, True)
    assert "--force" in refused.err
    assert "✓" not in refused.err  # before any work
    assert forced.code == 0
    assert {path.name for path in folder.iterdir()} == {
        "class-7.mask.png",
        "class-7.trigger.png",
        "sheet.png",
        "triggers.json",
    }
    assert list(tmp_path.iterdir()) == [folder]


def test_an_interrupted_run_leaves_nothing(
    rnp: Any, args: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)

    run = rnp(*args, "--target", 7)

    assert run.code == 130
    assert "Interrupted." in run.err
    assert list(tmp_path.iterdir()) == []


def test_a_class_that_the_model_does_not_have_is_an_error_of_the_user(
    rnp: Any, args: list[object], tmp_path: Path
) -> None:
    run = rnp(*args, "--target", 10)

    assert run.code == 2
    assert "0 to 9" in run.err
    assert list(tmp_path.iterdir()) == []


def test_another_network_is_no_sanitized_file(
    rnp: Any, args: list[object], tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"fc.weight": torch.zeros(10, 4), "fc.bias": torch.zeros(10)}, other)

    run = rnp(*args, "--target", 7, "--sanitized", other)

    assert run.code == 3
    assert "other.safetensors" in run.err
    assert "Recover triggers" not in run.err
    assert list(tmp_path.iterdir()) == [other]
