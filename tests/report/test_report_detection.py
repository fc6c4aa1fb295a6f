from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rnp_cli.report.detection import Family, TriggerInfo, VerdictInfo
from rnp_cli.report.detection_terminal import render_detection

Rendered = Callable[..., str]


def verdict(level: str, kind: str | None, **changes: Any) -> VerdictInfo:
    return VerdictInfo.model_validate(
        {
            "level": level,
            "kind": kind,
            "target": None,
            "family": "overlay",
            "index": 1.1,
            "p_inversion": 0.4,
            "p_label": None,
            "p_value": 0.4,
        }
        | changes
    )


def test_the_witness_that_convicts_is_the_one_that_is_quoted(
    make_detection: Any, rendered: Rendered
) -> None:
    by_mistakes = verdict("strong", "all-to-one").model_copy(
        update={"target": 1, "p_inversion": 1.0, "p_label": 1e-5, "p_value": 1e-4}
    )
    shown = rendered(render_detection(make_detection(verdict=by_mistakes)))
    assert "While the model unlearns" in shown
    assert "A pattern over" not in shown


def test_mistakes_are_listed_where_no_trigger_was_sought(
    make_detection: Any, rendered: Rendered
) -> None:
    by_mistakes = verdict("strong", "all-to-one").model_copy(
        update={"target": 1, "p_inversion": 1.0, "p_label": 1e-5, "p_value": 1e-4}
    )

    detection = make_detection(verdict=by_mistakes, triggers=())
    shown = rendered(render_detection(detection))

    assert "Strong evidence" in shown
    assert "Smallest triggers" not in shown
    head, _, listed = shown.partition(" Margins and new mistakes")
    assert head
    first = listed.splitlines()[4]
    most = max(detection.label.shares)
    assert "11.6" in first  # of the suspected class
    second = listed.splitlines()[5]
    assert f"{most:.0%}" in second
    assert "none" in second  # no input was found that reaches this class


def test_margins_are_listed_where_nothing_else_was_heard(
    make_detection: Any, rendered: Rendered
) -> None:
    by_margin = verdict(
        "strong", "all-to-one", target=1, p_inversion=1.0, p_margin=1e-5
    )

    detection = make_detection(verdict=by_margin, triggers=(), label=None)
    shown = rendered(render_detection(detection))

    head, _, listed = shown.partition(" Margins\n")
    assert head
    assert listed.splitlines()[3].split() == ["class", "1", "(cat)", "11.6"]
    assert "Share" not in shown


def test_a_margin_is_quoted_where_it_convicts(
    make_detection: Any, rendered: Rendered
) -> None:
    changes = {"target": 1, "p_inversion": 1.0, "p_value": 1e-4}

    def shown(p_margin: float | None) -> str:
        told = verdict("strong", "all-to-one", p_margin=p_margin, **changes)
        text = rendered(render_detection(make_detection(verdict=told)))
        return " ".join(text.replace("│", " ").split("╰")[0].split())

    assert (
        "Some input leads class 1 (cat) by 11.6 times what it varies by on clean "
        "images, and none leads another class by more than 4.1 times."
    ) in shown(1e-4)
    assert "Some input" not in shown(0.5)
    assert "Some input" not in shown(None)


def test_margins_that_say_nothing_are_not_spoken_of(
    make_detection: Any, rendered: Rendered
) -> None:
    none = verdict("none", None)

    def shown(**changes: Any) -> str:
        text = rendered(render_detection(make_detection(verdict=none, **changes)))
        return " ".join(text.split())

    assert "Widest margin" in shown()
    assert "led much farther" in shown()
    assert "led much farther" not in shown(margins=())
    assert "Widest margin" not in shown(margins=())


def test_one_unlearning_is_no_mean(make_detection: Any, rendered: Rendered) -> None:
    three = make_detection()
    one = make_detection(label=three.label.model_copy(update={"unlearnings": 1}))
    assert "in the mean of 3" in rendered(render_detection(three))
    assert "in the mean of" not in rendered(render_detection(one))


def test_mistakes_that_say_nothing_are_not_spoken_of(
    make_detection: Any, rendered: Rendered
) -> None:
    none = verdict("none", None)
    assert "new mistakes" in rendered(render_detection(make_detection(verdict=none)))
    deaf = make_detection(verdict=none, label=None)
    assert "none draws" not in rendered(render_detection(deaf))


def test_strong_evidence(
    make_detection: Any, rendered: Rendered, check_golden: Callable[[str, str], None]
) -> None:
    check_golden("detection.txt", rendered(render_detection(make_detection())))


def test_no_evidence_says_so_and_names_no_class(
    make_detection: Any, rendered: Rendered
) -> None:
    detection = make_detection(verdict=verdict("none", None))
    panel = rendered(render_detection(detection)).split("╰")[0]
    assert "No evidence" in panel
    assert "class 1" not in panel


def test_all_to_all_is_told_by_the_trigger_without_a_class(
    make_detection: Any, rendered: Rendered
) -> None:
    free = TriggerInfo(
        target=None, family="overlay", norm=2.5, success=0.91, found=True
    )
    detection = make_detection(
        verdict=verdict("weak", "all-to-all"), triggers=(free,), label=None
    )
    text = " ".join(rendered(render_detection(detection)).split())
    assert "Weak evidence" in text
    assert "2.5 pixels" in text
    assert "91%" in text


def test_one_to_one_names_both_classes(make_detection: Any, rendered: Rendered) -> None:
    usual, pair = (
        TriggerInfo(target=2, family="overlay", norm=n, success=0.93, found=True)
        for n in (60.0, 2.5)
    )
    detection = make_detection(
        verdict=verdict("weak", "one-to-one", source=0, target=2, p_inversion=0.01),
        triggers=(usual,),
        pairs=(pair.model_copy(update={"source": 0}),),
        label=None,
    )

    text = " ".join(rendered(render_detection(detection)).split())

    assert "2.5 pixels turns 93% of the clean images of class 0" in text
    assert "to class 2" in text
    assert "other pairs of classes need more" in text
    [_, shown] = text.split("Smallest patterns, class 0")
    assert "class 2 (dog) 2.5 93%" in shown


def test_no_pairs_are_shown_where_none_was_sought(
    make_detection: Any, rendered: Rendered
) -> None:
    assert "Smallest patterns" not in rendered(render_detection(make_detection()))


@pytest.mark.parametrize(
    ("family", "said"),
    [("addition", "2.0% of a pixel's range"), ("warp", "A warp by 2.80 pixels")],
)
def test_what_covers_the_image_is_told_in_its_own_unit(
    family: Family, said: str, make_detection: Any, rendered: Rendered
) -> None:
    convicted = make_detection().verdict.model_copy(update={"family": family})
    shown = rendered(render_detection(make_detection(verdict=convicted)))
    assert said in " ".join(shown.replace("│", " ").split())


def test_what_failed_is_told(make_detection: Any, rendered: Rendered) -> None:
    detection = make_detection(unlearn=None, label=None, unlearn_failure="No floor.")
    assert "No floor." in rendered(render_detection(detection))
