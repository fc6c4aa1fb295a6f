from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from rnp_cli.report.misfits import misfits
from rnp_cli.report.sanitization import Report


def said(content: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Report.model_validate_json(json.dumps(content), strict=True)
    return misfits(caught.value, content)


@pytest.fixture
def content(make_report: Any) -> dict[str, Any]:
    return dict(json.loads(make_report().model_dump_json()))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seed": "3"}, 'seed must be a whole number, not "3"'),
        ({"schema_version": 2}, "schema_version must be 1, not 2"),
        ({"surplus": 1}, "surplus is not known"),
        ({"run": []}, "run must be a table of keys"),
        ({"tried": None}, "tried must be a list, not null"),
        ({"left": ["asleep", True]}, "left[1] must be 'triggers', "),
        ({"not_checked": [1.5]}, "not_checked[0] must be a text, not 1.5"),
        ({"settings": {"a": [1]}}, "settings.a must be a table of keys or a number"),
        ({"settings": {"a": {"b": "c"}}}, "settings.a.b must be a number or a whole"),
        ({"tool_version": ["x" * 999]}, "tool_version must be a text"),
        ({"x" * 999: 1}, f"{'x' * 60}... is not known"),
        ({"outcome": "x" * 999}, f'not "{"x" * 59}...'),
    ],
)
def test_the_place_and_what_is_allowed_are_named(
    content: dict[str, Any], changes: dict[str, Any], expected: str
) -> None:
    assert expected in said(content | changes)


@pytest.mark.parametrize(
    ("verdict", "pairs", "expected"),
    [
        ({"kind": "one-to-one"}, [], "source and target must be set"),
        ({"source": 1}, [], "source and target must be set"),
        ({}, [1], "from the class that the verdict names"),
        ({"kind": "one-to-one", "source": 0}, [1], "from the class that the verdict"),
        ({"kind": "one-to-one", "source": 0}, [None], "from one class to another"),
    ],
)
def test_pairs_that_do_not_fit_the_verdict_are_refused(
    content: dict[str, Any], verdict: Any, pairs: list[Any], expected: str
) -> None:
    usual = {"target": 2, "family": "overlay", "norm": 9.0, "success": 1.0}
    content["verdict"] |= verdict
    content["pairs"] = [usual | {"found": True, "source": s} for s in pairs]

    assert expected in said(content)


def test_a_key_that_is_missing_is_named_with_its_table(content: dict[str, Any]) -> None:
    del content["model"]["sha256"]

    del content["input"]["size"][1]

    assert said(content) == "model.sha256 is missing; input.size.1 is missing"


def test_only_the_first_places_are_named(content: dict[str, Any]) -> None:
    told = said(
        content | {"seed": [], "device": [], "model": [], "input": [], "run": 1}
    )

    assert told.count(" must be ") == 3
    assert told.endswith("; and 2 more")


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 5000, "\x00", '{"seed": 1' + "0" * 5000]
)
def test_what_is_no_json_is_called_so(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Report.model_validate_json(text)

    assert misfits(caught.value, None) == "it is not JSON"
