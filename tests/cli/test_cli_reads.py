"""What a report says of its settings is what the run has looked at."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from rnp_cli.cli.reads import is_read
from rnp_cli.defense.rnp import DefenseConfig
from rnp_cli.evidence.config import EvidenceConfig

QUICK = """
holdout_share = 0.4
most_classes = 12
most_paired = 0
unlearnings = 2
[unlearn]
momentum = 0.9
[recover]
epochs = 3
[threshold]
patience = 3
success_left = 0.2
[repair]
max_accuracy_drop = 0.5
epochs = 1
[adversarial]
steps = 2
[distill]
epochs = 1
[inversion]
steps = 2
[verdict]
usual_spread = 0.3
strong = 0.001
[closing]
nearby = 0
"""
ONLY_WITH_TRIGGERS = {"verdict.usual_spread"}  # two steps find none
RUNS = [
    ["detect", "--hear-all", "--fail-on", "never"],
    ["trigger"],
    ["filter", "--suspects", "."],
    ["sanitize", "--method", "anp"],
]


def tables() -> Iterator[tuple[str, type[BaseModel]]]:
    """Name each table of a settings file, and its config."""
    for config in (DefenseConfig, EvidenceConfig):
        for name, field in config.model_fields.items():
            if isinstance(field.default, BaseModel):
                yield name, type(field.default)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Collect the knobs that are read from now on, as ``table.name``."""
    found: set[str] = set()

    def watched(name: str, config: type[BaseModel]) -> Any:
        def get(self: BaseModel, attribute: str) -> Any:
            if attribute in config.model_fields:
                found.add(f"{name}.{attribute}")
            return object.__getattribute__(self, attribute)

        return get

    for name, config in tables():
        get = watched(name, config)
        monkeypatch.setattr(config, "__getattribute__", get, raising=False)
    return found


@pytest.mark.parametrize("args", RUNS, ids=" ".join)
def test_a_report_names_the_knobs_that_the_run_read(
    rnp: Any, digits: Any, tmp_path: Path, looked_at: set[str], args: list[str]
) -> None:
    (tmp_path / "rnp.toml").write_text(QUICK)
    shutil.copy(min((digits.clean / "0").iterdir()), tmp_path)  # for the filter

    run = rnp(
        *(args[0], digits.model, "--clean-dir", digits.clean, *args[1:]),
        *("--format", "json", "--device", "cpu"),
    )

    content = json.loads(run.out)
    knobs = {name for name, by in content["run"]["sources"].items() if by == "rnp.toml"}
    set_here = {
        f"{name}.{knob}"
        for name, config in tables()
        for knob in config.model_fields
        if any(line.startswith(f"{knob} =") for line in section(name))
    }
    in_tables = {knob for knob in knobs if "." in knob}
    assert in_tables - ONLY_WITH_TRIGGERS == looked_at & set_here - ONLY_WITH_TRIGGERS
    assert "holdout_share" in knobs
    assert all(knob in run.err for knob in knobs)


def section(name: str) -> list[str]:
    """Return the lines of a table of the file."""
    return QUICK.partition(f"[{name}]\n")[2].partition("[")[0].splitlines()


@pytest.mark.parametrize(
    ("knob", "command", "params", "is_one"),
    [
        ("unlearn.momentum", "filter", {"sanitized": None}, True),
        ("unlearn.momentum", "filter", {"sanitized": Path("m.onnx")}, False),
        ("holdout_share", "filter", {"sanitized": Path("m.onnx")}, True),
        ("verdict.usual_spread", "trigger", {"on": "original"}, True),
        ("unlearn.momentum", "trigger", {"on": "unlearned"}, True),
        ("repair.epochs", "sanitize", {"method": "rnp+repair"}, True),
        ("repair.max_accuracy_drop", "sanitize", {"method": "nad"}, True),
        ("repair.epochs", "sanitize", {"method": "nad"}, False),
        ("distill.epochs", "sanitize", {"method": "nad"}, True),
        ("distill.epochs", "sanitize", {"method": "rnp+repair"}, False),
        ("closing.nearby", "sanitize", {"method": "rnp"}, False),
        ("threshold.success_left", "sanitize", {"method": "rnp"}, False),
        ("threshold.patience", "sanitize", {"method": "rnp"}, True),
        ("threshold.success_left", "sanitize", {"method": "rnp+repair"}, True),
    ],
)
def test_what_a_run_was_asked_decides(
    knob: str, command: str, params: dict[str, Any], is_one: bool
) -> None:
    assert is_read(knob, command, params) is is_one
