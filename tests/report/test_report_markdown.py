from __future__ import annotations

import re
from typing import Any

import pytest

from rnp_cli.report.detection import VerdictInfo
from rnp_cli.report.markdown import markdown
from rnp_cli.report.sanitization import RankedChannel

HOSTILE = "www.a.b <script>\n::error::x|y `a` [b](http://c) *d* @e \x1b[31m\u202e\\"


def shown(text: str) -> str:
    """What a reader of the page sees: character references are resolved."""
    return re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), text)


def test_the_outcome_comes_first(make_report: Any) -> None:
    text = markdown(make_report())

    assert text.startswith("## ✅ Pruned\n\n2 of 4800 channels pruned")
    assert text.endswith("`\n")


@pytest.mark.parametrize(
    ("outcome", "sign"), [("not-safe", "❌"), ("no-safe-threshold", "❌")]
)
def test_a_failure_is_seen_at_once(make_report: Any, outcome: str, sign: str) -> None:
    assert markdown(make_report(outcome=outcome)).startswith(f"## {sign}")


def test_triggers_and_channels_are_tables(make_report: Any) -> None:
    lines = shown(markdown(make_report())).splitlines()

    assert "| 1 | layer4.1.bn2 | 7 | 0.000 | 3.21 |" in lines
    assert "| a pattern over 4.2 pixels | 96% | 2% | a pattern over 71.3 pixels |" in (
        lines
    )
    assert "| Verdict after | no evidence of a backdoor (p = 0.7) |" in lines


def test_what_is_missing_has_no_section(make_report: Any, make_verdict: Any) -> None:
    none: VerdictInfo = make_verdict(level="none", kind=None, target=None)
    text = markdown(
        make_report(
            outcome="unchanged", verdict=none, tried=(), pruning=None, repair=None
        )
    )

    assert "Recovered triggers" not in text
    assert "Pruned channels" not in text
    assert "### Not checked" in text


def test_a_long_list_ends_with_what_is_left_out(
    make_report: Any, make_pruning: Any
) -> None:
    channels = tuple(
        RankedChannel(rank=n, layer="bn", channel=n, mask=0.0, score=1.0)
        for n in range(1, 101)
    )

    text = markdown(make_report(pruning=make_pruning(pruned=channels)))

    assert "60 more are in the JSON." in text


def test_names_are_no_markup_and_no_commands(
    make_report: Any, make_pruning: Any
) -> None:
    report = make_report()
    channel = RankedChannel(rank=1, layer=HOSTILE, channel=0, mask=0.0, score=1.0)
    report = make_report(
        model=report.model.model_copy(
            update={"file": HOSTILE, "findings": (HOSTILE,), "sha256": HOSTILE}
        ),
        samples=report.samples.model_copy(update={"class_names": (HOSTILE,) * 3}),
        pruning=make_pruning(pruned=(channel,)),
        not_checked=(HOSTILE,),
    )

    text = markdown(report)

    for part in (
        "www.",
        "<script",
        "::error",
        "[b]",
        "*d*",
        "@e",
        "\x1b",
        "\u202e",
        "x|y",
    ):
        assert part not in text
    assert shown(text).count("<script>\\n::error::x|y") >= 5
    for line in text.splitlines():
        assert not line.startswith("|") or line.count("|") in (3, 5, 6)
