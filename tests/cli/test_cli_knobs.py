from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from rnp_cli.cli.knobs import read_knobs
from rnp_cli.cli.settable import TABLES
from rnp_cli.cli.settings import Layer, find_settings
from rnp_cli.defense.rnp import DefenseConfig
from rnp_cli.errors import UsageError
from rnp_cli.evidence.config import EvidenceConfig


def layer(file: str = "rnp.toml", **knobs: Any) -> Layer:
    return Layer(Path(file), {table: {} for table in TABLES}, knobs)


def test_without_files_all_is_as_by_default() -> None:
    assert read_knobs(()) == (DefenseConfig(), EvidenceConfig())


def test_the_option_overrules_the_file_and_counts_in_points() -> None:
    layers = (
        layer(
            threshold={"max_accuracy_drop": 0.5, "patience": 3}, inversion={"steps": 7}
        ),
    )

    defense, evidence = read_knobs(layers, 4.0)

    assert defense.threshold.max_accuracy_drop == pytest.approx(0.04)
    assert defense.threshold.patience == 3
    assert evidence.inversion.steps == 7
    assert read_knobs(layers)[0].threshold.max_accuracy_drop == 0.5


def test_the_stronger_file_wins_knob_by_knob() -> None:
    strong = layer(recover={"epochs": 3}, most_classes=4)
    weak = layer("pyproject.toml", recover={"epochs": 5, "momentum": 0.5})

    defense, evidence = read_knobs((strong, weak))

    assert (defense.recover.epochs, defense.recover.momentum) == (3, 0.5)
    assert evidence.most_classes == 4


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"unlearn": {"learning_rat": 1}}, "nearest is 'learning_rate'"),
        ({"unlearned": {}}, "nearest is 'unlearn'"),
        ({"optoins": {"seed": 1}}, "nearest is 'options'"),
        ({"seed": 1}, "'seed' is an option"),
        ({"fpr": 0.1}, "'fpr' is an option"),
        (
            {"threshold": {"patience": "3"}},
            'threshold.patience must be a whole number, not "3"',
        ),
        ({"most_classes": 1}, "most_classes must be 2 or more, not 1"),
        ({"recover": 3}, "recover must be a table of keys, not 3"),
        ({"recover": {"momentum": 1.5, "epochs": []}}, "below 1, not 1.5; .*epochs"),
    ],
)
def test_a_bad_knob_is_named_with_its_file(knobs: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        read_knobs((layer(), layer("weak.toml", **knobs)))

    assert error.value.message.startswith("weak.toml")


def test_an_option_outside_of_its_table_is_told_where_it_belongs() -> None:
    for key, table in (
        ("seed", "below [options]."),
        ("method", "below [sanitize]."),
        ("fail-on", "below [sanitize] or [detect]."),
    ):
        with pytest.raises(UsageError) as error:
            read_knobs((layer(**{key: 1}),))
        assert table in error.value.hint


def float_knobs() -> list[tuple[str, ...]]:
    """Name each float that a file can set: (table, knob), or (knob,) at the top."""
    found: list[tuple[str, ...]] = []
    for config in (DefenseConfig, EvidenceConfig):
        for name, field in config.model_fields.items():
            if isinstance(field.default, BaseModel):
                inner = type(field.default).model_fields.items()
                found += [(name, knob) for knob, f in inner if f.annotation is float]
            elif field.annotation is float:
                found.append((name,))
    return found


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
@pytest.mark.parametrize("knob", float_knobs(), ids=".".join)
def test_a_number_without_end_is_no_knob(
    tmp_path: Path, knob: tuple[str, ...], value: str
) -> None:
    table = f"[{knob[0]}]\n" if len(knob) > 1 else ""
    file = tmp_path / "team.toml"
    file.write_text(f"{table}{knob[-1]} = {value}\n")
    layers = find_settings(file, tmp_path / "models" / "model.pt").layers

    with pytest.raises(UsageError) as error:
        read_knobs(layers)

    must = f"{'.'.join(knob)} must be a finite number, not {value}."
    assert error.value.message == f"{file}: {must}"


def test_a_budget_in_two_units_is_refused() -> None:
    option = layer("pyproject.toml")
    option.tables["sanitize"]["max-accuracy-drop"] = 2

    with pytest.raises(UsageError, match="given twice") as error:
        read_knobs((layer(threshold={"max_accuracy_drop": 0.1}), option))

    assert "pyproject.toml" in error.value.message
