from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from rnp_cli.report.canonical import canonical_sha256
from rnp_cli.report.sanitization import Report
from rnp_cli.report.schema import Accuracy, RunInfo


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of every number and text in a JSON value."""
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return [] if value is None else [path]
    return [leaf for key, below in items for leaf in leaves(below, (*path, key))]


def changed(content: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    """A deep copy with one leaf changed to another value of its kind."""
    copy: Any = json.loads(json.dumps(content))
    place = copy
    for key in path[:-1]:
        place = place[key]
    match place[path[-1]]:
        case bool() as flag:
            place[path[-1]] = not flag
        case int() | float() as number:
            place[path[-1]] = number + 1
        case str() as text:
            place[path[-1]] = text + "x"
    return copy


OTHER_WORDS = {
    ("outcome",): "no-safe-threshold",
    ("model", "matched_by"): "order",
    ("samples", "labels"): "from-model",
}

ANYWHERE = {"family": "warp", "level": "weak", "kind": "all-to-all"}


def set_at(content: Any, path: tuple[Any, ...], value: str) -> None:
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


def test_a_report_survives_its_json(make_report: Any) -> None:
    report = make_report()

    back = Report.model_validate_json(report.model_dump_json(indent=2))

    assert back == report
    assert back.digest() == report.digest()


def test_the_digest_ignores_the_run(make_report: Any) -> None:
    later = RunInfo(started="2026-01-01T00:00:00+00:00", seconds=9.0, stages={})

    assert make_report(run=later).digest() == make_report().digest()


@pytest.mark.parametrize("has_samples", [True, False])
def test_a_report_from_before_keeps_its_digest(
    make_report: Any, has_samples: bool
) -> None:
    """Before there were pairs, margins and waves, or the clean images' digest."""
    content = make_report().model_dump(mode="json")
    content["tried"] = [part for part in content["tried"] if part.pop("wave") is None]
    del content["pairs"]
    del content["margins"]
    verdicts = [content["verdict"], content["verdict_after"]]
    for part in (*verdicts, *content["triggers"]):
        del part["source"]
    for part in verdicts:
        del part["p_margin"]
    content["samples"]["sha256"] = "ab" * 32
    if not has_samples:
        del content["samples"]["sha256"]

    report = Report.model_validate(content)

    del content["run"]
    assert report.digest() == canonical_sha256(content)


def test_the_digest_sees_a_change_of_anything_else(make_report: Any) -> None:
    report = make_report()
    content = report.model_dump(mode="json")
    paths = [path for path in leaves(content) if path[0] not in ("run",)]
    assert len(paths) > 60

    for path in paths:
        if path == ("schema_version",):
            continue
        other = changed(content, path)
        if path in OTHER_WORDS:
            place = other if len(path) == 1 else other[path[0]]
            place[path[-1]] = OTHER_WORDS[path]
        elif path[-1] in ANYWHERE:
            set_at(other, path, ANYWHERE[str(path[-1])])
        assert Report.model_validate(other).digest() != report.digest(), path


def test_another_version_of_the_schema_is_not_read(make_report: Any) -> None:
    content = make_report().model_dump(mode="json")

    with pytest.raises(ValidationError, match="schema_version"):
        Report.model_validate(content | {"schema_version": 2})
    with pytest.raises(ValidationError, match="surprise"):
        Report.model_validate(content | {"surprise": 1})


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [  # Wilson's interval, as scipy.stats gives it
        (0, 10, 0.0, 0.27753279),
        (5, 10, 0.23659309, 0.76340691),
        (10, 10, 0.72246720, 1.0),
        (95, 100, 0.88824951, 0.97845632),
        (1, 1, 0.20654931, 1.0),
    ],
)
def test_the_interval_is_wilsons(
    right: int, count: int, low: float, high: float
) -> None:
    accuracy = Accuracy.of(right / count, count)

    assert (accuracy.low, accuracy.high) == pytest.approx((low, high), abs=1e-6)


def test_a_report_of_before_unlearnings_were_counted_is_of_one(
    make_report: Any,
) -> None:
    content = json.loads(make_report().model_dump_json())
    del content["label"]["unlearnings"]
    read = Report.model_validate(content)
    assert read.label is not None
    assert read.label.unlearnings == 1
