from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnp_cli.report.comparison import render_comparison
from rnp_cli.report.sanitization import RankedChannel
from rnp_cli.report.schema import Accuracy

Rendered = Callable[..., str]


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_what_differs_is_side_by_side(
    make_report: Any, make_pruning: Any, rendered: Rendered
) -> None:
    first = make_report()
    moved = RankedChannel(rank=1, layer="layer4.1.bn2", channel=7, mask=0.1, score=2.0)
    other = RankedChannel(rank=2, layer="layer1.0.bn1", channel=3, mask=0.2, score=1.0)
    second = make_report(
        seed=1,
        accuracy_after=Accuracy.of(0.9, 500),
        pruning=make_pruning(pruned=(moved, other)),
    )

    shown = lines(rendered(render_comparison(first, second)))

    assert "Seed, device 0, cpu (1 threads) 1, cpu (1 threads)" in shown
    assert "Pruned in both layer4.1.bn2 7" in shown
    assert "in the first only layer4.0.bn1 411" in shown
    assert "in the second only layer1.0.bn1 3" in shown


def test_a_fact_that_one_report_lacks_is_left_out_there(
    make_report: Any, make_verdict: Any, rendered: Rendered
) -> None:
    none = make_verdict(level="none", kind=None, target=None, p_value=0.6)
    second = make_report(
        outcome="unchanged", verdict=none, verdict_after=None, tried=(), pruning=None
    )

    shown = lines(rendered(render_comparison(make_report(), second)))

    assert "Estimated success 96% before, 4% after –" in shown
    assert "Channels pruned 2 of 4800 0 of 4800" in shown
    assert "in the second only none" in shown


def test_names_are_shown_and_not_acted_on(
    make_report: Any, make_pruning: Any, rendered: Rendered
) -> None:
    hostile = RankedChannel(
        rank=1, layer="\x1b[31m[red]\u202e", channel=0, mask=0.0, score=1.0
    )
    report = make_report(pruning=make_pruning(pruned=(hostile,)))

    text = rendered(render_comparison(report, report))

    assert "\\x1b[31m[red]\\u202e 0" in text
    assert "\x1b[31m[red]" not in text
