from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rnp_cli.report import tried
from rnp_cli.report.sanitization import (
    CompactionInfo,
    DistillationInfo,
    RankedChannel,
    RepairInfo,
    RepairRound,
)
from rnp_cli.report.schema import Accuracy
from rnp_cli.report.terminal import render

Rendered = Callable[..., str]
# Every way a text from a file might act on a terminal instead of being shown.
HOSTILE = "\n\x1b[31m[red]x[/red]\x1b]0;owned\x07\r\x08\x9b2J\u202e[link=http://e]y"


def unframed(text: str) -> str:
    """The words of a text in a panel, on one line."""
    return " ".join(text.replace("│", " ").split())


def test_a_pruned_model(
    make_report: Any, rendered: Rendered, check_golden: Callable[[str, str], None]
) -> None:
    check_golden("pruned.txt", rendered(render(make_report())))


def test_a_repaired_model(
    make_report: Any, rendered: Rendered, check_golden: Callable[[str, str], None]
) -> None:
    rounds = (
        RepairRound(triggers=2, clean_accuracy=0.93),
        RepairRound(triggers=1, clean_accuracy=0.92),
    )
    report = make_report(
        outcome="repaired", repair=RepairInfo(rounds=rounds, is_exhausted=True)
    )

    check_golden("repaired.txt", rendered(render(report)))


def test_what_compaction_saved_is_told(make_report: Any, rendered: Rendered) -> None:
    compaction = CompactionInfo(
        pruned=9,
        removed=4,
        parameters_before=2000,
        parameters_after=1500,
        flops_before=80_000,
        flops_after=70_000,
    )

    text = unframed(rendered(render(make_report(compaction=compaction))))

    assert "4 of 9 pruned channels left out" in text
    assert "2,000 parameters before, 1,500 after" in text
    assert "80,000 FLOPs per image before, 70,000 after" in text
    assert "left out" not in rendered(render(make_report()))


def said(report: Any, rendered: Rendered) -> str:
    """The words of the panel that comes first."""
    return unframed(rendered(render(report)).split("╰")[0])


def test_what_is_left_is_said(
    make_report: Any, make_verdict: Any, rendered: Rendered
) -> None:
    strong = make_verdict()
    report = make_report(
        outcome="not-safe", left=("mistakes",), verdict_after=strong, outputs=()
    )

    panel = said(report, rendered)

    assert "Could not be made safe" in panel
    assert "strong evidence of a backdoor to class 2 (dog)" in panel
    assert "No model was written" in panel


def test_triggers_that_are_left_are_told(make_report: Any, rendered: Rendered) -> None:
    rounds = (RepairRound(triggers=1, clean_accuracy=0.93),)
    report = make_report(
        outcome="not-safe",
        left=("triggers", "success"),
        repair=RepairInfo(rounds=rounds, is_exhausted=False),
        outputs=(),
    )

    panel = said(report, rendered)

    most = max(trigger.success_after for trigger in report.tried)
    assert "or with half of them, after 1 round of repair" in panel
    assert f"recovered first still turns {most:.0%}" in panel
    assert "no evidence" not in panel


@pytest.mark.parametrize(
    ("p_label", "p_margin", "told"),
    [
        (1e-3, None, "unlearning still wakes it"),
        (1e-3, 0.01, "unlearning still wakes it"),
        (0.01, 1e-3, "a margin still stands out"),
        (None, 1e-3, "a margin still stands out"),
    ],
)
def test_a_backdoor_that_sleeps_is_told(
    p_label: float | None,
    p_margin: float | None,
    told: str,
    make_report: Any,
    make_verdict: Any,
    rendered: Rendered,
) -> None:
    after = make_verdict(p_label=p_label, p_margin=p_margin)
    report = make_report(outcome="repaired", left=("asleep",), verdict_after=after)

    assert told in said(report, rendered)
    assert ", but no trigger shows it" in unframed(rendered(render(report)))


def test_what_was_distilled_is_not_called_pruned(
    make_report: Any, rendered: Rendered
) -> None:
    report = make_report(
        outcome="distilled",
        method="nad",
        distillation=DistillationInfo(history=(0.9, 0.93)),
    )

    text = " ".join(rendered(render(report)).split())

    assert "learned where a copy looks" in text
    assert "Channels pruned in the teacher" in text
    assert "Pruned channels" not in text


def test_a_model_without_evidence(
    make_report: Any, make_verdict: Any, rendered: Rendered
) -> None:
    report = make_report(
        outcome="unchanged",
        verdict=make_verdict(level="none", kind=None, target=None, p_value=0.6),
        verdict_after=None,
        tried=(),
        pruning=None,
    )

    text = " ".join(rendered(render(report)).split())

    assert "nothing was changed" in text
    assert "written as it came" in text
    assert "Accuracy after" not in text
    assert "channels pruned" not in text


def test_no_safe_threshold(
    make_report: Any,
    make_pruning: Any,
    rendered: Rendered,
    check_golden: Callable[[str, str], None],
) -> None:
    report = make_report(
        outcome="no-safe-threshold",
        accuracy_after=Accuracy.of(0.94, 500),
        holdout_after=Accuracy.of(0.94, 150),
        verdict_after=None,
        tried=(),
        pruning=make_pruning(pruned=(), threshold=None),
        outputs=(),
    )

    check_golden("no_safe_threshold.txt", rendered(render(report)))


def test_a_long_list_ends_with_what_is_left_out(
    make_report: Any, make_pruning: Any, rendered: Rendered
) -> None:
    channels = tuple(
        RankedChannel(rank=n, layer="bn", channel=n, mask=0.0, score=1.0)
        for n in range(1, 101)
    )

    report = make_report(pruning=make_pruning(pruned=channels))
    text = rendered(render(report))

    shown = [line for line in text.splitlines() if " bn " in line]
    assert 0 < len(shown) < 100
    assert f"{100 - len(shown)} more" in " ".join(text.split())


def test_texts_from_files_act_on_nothing(
    make_report: Any, make_pruning: Any, rendered: Rendered
) -> None:
    plain = make_report()
    hostile_channel = RankedChannel(
        rank=1, layer=HOSTILE, channel=0, mask=0.0, score=1.0
    )
    report = make_report(
        model=plain.model.model_copy(
            update={
                "file": HOSTILE,
                "format": HOSTILE,
                "architecture": HOSTILE,
                "findings": (HOSTILE,),
            }
        ),
        input=plain.input.model_copy(update={"convention": HOSTILE, "output": HOSTILE}),
        samples=plain.samples.model_copy(update={"class_names": (HOSTILE,) * 3}),
        pruning=make_pruning(pruned=(hostile_channel,)),
        not_checked=(HOSTILE,),
    )

    text = rendered(render(report))

    assert all(c.isprintable() for c in text.replace("\n", ""))
    assert "".join(text.split()).count("\\x1b[31m[red]x[/red]") >= 8
    colored = rendered(render(report), colors=True)
    assert "\x1b]" not in colored
    assert "\x1b[31m[red]" not in colored


def test_a_target_without_a_name_is_shown_by_number(
    make_report: Any, rendered: Rendered
) -> None:
    samples = make_report().samples
    for names in ((), ("0", "1", "2"), ("bird",)):
        report = make_report(samples=samples.model_copy(update={"class_names": names}))

        assert "the clean images class 2\n" in rendered(render(report))


@pytest.mark.parametrize(
    ("wave", "said"),
    [((0, 6), "0 down, 6 to the right"), ((5, -3), "5 down, 3 to the left")],
)
def test_a_wave_is_told_by_its_cycles(
    make_report: Any, wave: tuple[int, int], said: str
) -> None:
    trigger = make_report().tried[-1].model_copy(update={"wave": wave})

    row = tried.row(trigger)

    assert f"(cycles: {said})" in row[0]
    assert row[-1] == "not sought"
