from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from baselines.mm_bd import mm_bd
from margins import Row, main, measured, render
from subjects.zoo_models import ZooModel


def row(**changes: Any) -> Row:
    facts: dict[str, Any] = {
        "subject": "badnets-net",
        "attack": "BadNets",
        "true_target": 2,
        "samples": 100,
        "seed": 0,
        "margins": (3.0, 4.0, 20.0),
        "target": 2,
        "index": 8.0,
        "p_value": 0.001,
        "spread": 0.9,
        "raw_target": 1,
        "raw_p_value": 0.2,
        "raw_spread": 0.8,
    }
    return Row.model_validate(facts | changes)


CLEAN: dict[str, Any] = {"subject": "clean-net", "attack": None, "true_target": None}


def test_a_margin_far_above_the_others_is_told() -> None:
    usual = [50.0, 57.0, 45.0, 47.0, 52.0, 55.0, 49.0, 46.0, 51.0]

    wide = mm_bd([*usual[:4], 180.0, *usual[4:]])
    plain = mm_bd([*usual[:4], 58.0, *usual[4:]])

    assert (wide.target, wide.is_flagged) == (4, True)
    assert (plain.target, plain.is_flagged) == (4, False)
    assert wide.p_value < 1e-6 < 0.05 < plain.p_value


def test_right_means_the_true_class_and_a_small_p() -> None:
    page = render(
        "net",
        [
            row(),
            row(p_value=0.2, raw_p_value=0.01),
            row(raw_target=2, raw_p_value=0.01),
            row(**CLEAN, p_value=0.3, raw_p_value=0.04, spread=0.1, raw_spread=0.3),
            row(**CLEAN, p_value=0.3, spread=0.2, raw_spread=0.4),
        ],
    )

    assert "| right class, p at most 0.05, of 3 single targets | 2 | 1 |" in page
    assert "| clean models flagged, of 2 | 0 | 1 |" in page
    assert "range | 0.16 (0.10 to 0.20) | 0.35 (0.30 to 0.40) |" in page


def test_the_models_are_measured_and_written(
    zoo: list[ZooModel], tmp_path: Path
) -> None:
    main(["--profile", "digits", "--samples", "60", "--results", str(tmp_path)])

    written = json.loads((tmp_path / "margins-digits.json").read_text())
    assert [r["subject"] for r in written] == [subject.name for subject in zoo]
    assert Row.model_validate(written[1]) == measured(zoo[1], 60, 0)
    assert len(written[1]["margins"]) == 10
    page = (tmp_path / "margins-digits.md").read_text()
    assert all(subject.name in page for subject in zoo)
