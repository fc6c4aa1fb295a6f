from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from made_reports import recovered

from rnp_cli.report.triggers_terminal import render_triggers

Rendered = Callable[..., str]


def test_recovered_triggers(
    make_triggers: Any, rendered: Rendered, check_golden: Callable[[str, str], None]
) -> None:
    check_golden("triggers.txt", rendered(render_triggers(make_triggers())))


def test_without_a_sanitized_file_nothing_is_said_of_it(
    make_triggers: Any, rendered: Rendered
) -> None:
    alone = recovered(1, 4.2, estimated_success_sanitized=None)
    text = rendered(render_triggers(make_triggers(sanitized=None, triggers=(alone,))))
    assert "anitized" not in text
    assert "estimated 96%" in text


def test_what_it_was_inverted_on_is_told(
    make_triggers: Any, make_report: Any, rendered: Rendered
) -> None:
    half = make_triggers(inverted_on="unlearned", unlearn=make_report().unlearn)
    text = rendered(render_triggers(half))
    assert "half way down, 30.0% on the holdout" in text
    assert "On the copy" in text
    assert "99%" in text


def test_nothing_found_is_no_trigger(make_triggers: Any, rendered: Rendered) -> None:
    none = recovered(1, 1024.0, found=False, index=None, estimated_success=0.0)
    text = rendered(render_triggers(make_triggers(triggers=(none,))))
    assert "No trigger was found" in text
    assert "1024" not in text


def test_only_the_smallest_are_listed(make_triggers: Any, rendered: Rendered) -> None:
    many = tuple(recovered(target, 10.0 + target) for target in range(20))
    text = " ".join(rendered(render_triggers(make_triggers(triggers=many))).split())
    assert "class 14" in text
    assert "class 15" not in text
    assert "5 more are in the JSON" in text


@pytest.mark.parametrize(
    ("family", "panel", "head", "cell"),
    [
        ("addition", "A change of 4.2% of a pixel's range added", "Added, %", "4.2"),
        ("warp", "A warp by 0.04 pixels turns", "Warp, pixels", "0.04"),
    ],
)
def test_a_size_is_told_in_the_unit_of_its_family(
    make_triggers: Any,
    rendered: Rendered,
    family: str,
    panel: str,
    head: str,
    cell: str,
) -> None:
    report = make_triggers(family=family, triggers=(recovered(1, 0.042),))

    text = rendered(render_triggers(report))

    assert panel in " ".join(text.replace("│", " ").split())
    assert head in text
    assert f" {cell} " in text
