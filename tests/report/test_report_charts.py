from __future__ import annotations

import math
import re
from xml.etree.ElementTree import Element, fromstring

import pytest

from rnp_cli.report.charts import (
    Bar,
    Caption,
    Line,
    Tick,
    bars,
    channel_map,
    shares,
)

CAPTION = Caption("a", "A title", "What it shows")


def of_kind(svg: Element, kind: str) -> list[Element]:
    return [part for part in svg.iter() if kind in part.get("class", "").split()]


def at(part: Element, name: str) -> float:
    return float(part.get(name, "nan"))


def texts(svg: Element) -> list[str | None]:
    return [part.text for part in svg.iter("text")]


def test_a_chart_says_what_it_is() -> None:
    svg = fromstring(shares(CAPTION, [], across="epoch"))

    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby", "").split() == [
        svg[0].get("id"),
        svg[1].get("id"),
    ]
    assert (svg[0].text, svg[1].text) == (CAPTION.title, CAPTION.desc)


def test_a_falling_share_falls_to_its_floor() -> None:
    line = Line("accuracy", ((1, 0.9), (2, 0.5), (3, 0.2)))

    svg = fromstring(shares(CAPTION, [line], across="epoch", floor=0.2))

    dots = of_kind(svg, "dot")
    across = [at(dot, "cx") for dot in dots]
    down = [at(dot, "cy") for dot in dots]
    assert across == sorted(across)
    assert down == sorted(down)
    assert at(of_kind(svg, "floor")[0], "y1") == down[-1]


def test_the_chosen_place_is_marked() -> None:
    line = Line("accuracy", ((0, 0.9), (4, 0.8), (9, 0.7)))

    svg = fromstring(shares(CAPTION, [line], across="pruned", chosen=4))

    assert at(of_kind(svg, "chosen")[0], "x1") == at(of_kind(svg, "dot")[1], "cx")


def test_one_epoch_and_numbers_that_are_none_are_drawn_too() -> None:
    one = shares(CAPTION, [Line("accuracy", ((1, 0.5),))], across="epoch")
    none = shares(
        CAPTION,
        [Line("accuracy", ((1, 0.5), (2, math.nan), (3, math.inf)))],
        across="epoch",
        floor=math.nan,
    )

    assert len(of_kind(fromstring(one), "dot")) == 1
    assert len(of_kind(fromstring(none), "dot")) == 1
    assert not re.search("nan|inf", one + none)


def test_bars_are_as_high_as_sizes_and_the_suspected_one_is_marked() -> None:
    sizes = [Bar("0", 40.0, False), Bar("1", 20.0, False), Bar("2", 4.0, True)]

    svg = fromstring(bars(CAPTION, sizes, "{:.1f}".format))

    heights = [at(bar, "height") for bar in of_kind(svg, "bar")]
    assert math.isclose(heights[0], 2 * heights[1], abs_tol=0.2)
    assert math.isclose(heights[0], 10 * heights[2], abs_tol=0.6)
    assert len(of_kind(svg, "suspect")) == len(of_kind(svg, "mark")) == 1
    assert "4.0" in texts(svg)


@pytest.mark.parametrize("size", [4.01, 5.5, 5.99, 9.99])
def test_the_size_over_the_suspected_bar_is_inside_the_picture(size: float) -> None:
    sizes = [Bar("0", 4.0, False), Bar("1", size, True)]

    svg = fromstring(bars(CAPTION, sizes, "{:.2f}".format))

    (written,) = (e for e in svg.iter() if e.text == f"{size:.2f}" and at(e, "y") < 180)
    assert at(written, "y") > 10


def test_a_class_without_a_trigger_has_no_bar() -> None:
    sizes = [Bar("0", None, False), Bar("1", math.inf, True)]

    svg = fromstring(bars(CAPTION, sizes, "{:.1f}".format))

    assert of_kind(svg, "bar") == []
    assert texts(svg).count("×") == 2


def test_many_classes_fit_side_by_side() -> None:
    sizes = [Bar(str(n), 1.0 + n % 7, n == 501) for n in range(1000)]

    svg = fromstring(bars(CAPTION, sizes, "{:.1f}".format))

    shown = sorted(of_kind(svg, "bar"), key=lambda bar: at(bar, "x"))
    assert len(shown) == 1000
    for left, right in zip(shown, shown[1:], strict=False):
        assert at(left, "x") + at(left, "width") <= at(right, "x") + 0.2
    assert "501" in texts(svg)
    assert len(texts(svg)) < 30


def test_pruned_channels_point_up_and_low_masks_are_long() -> None:
    ticks = [Tick(3, 0.0, True), Tick(5, 0.5, True), Tick(9, 0.5, False)]

    svg = fromstring(channel_map(CAPTION, [("bn1", ticks), ("bn2", ticks[:1])]))

    lengths = [at(tick, "y1") - at(tick, "y2") for tick in of_kind(svg, "tick")]
    assert lengths[0] > lengths[1] > 0
    assert lengths[2] == -lengths[1]
    assert {"bn1", "2 pruned, 1 next", "1 pruned, 0 next"} <= set(texts(svg))


def test_names_of_layers_are_text_and_kept_short() -> None:
    hostile = "</text><script>alert(1)</script>\u202e\x1b[31m"
    long = "backbone." * 30 + "bn2"
    tick = [Tick(0, 0.0, True)]

    markup = channel_map(CAPTION, [(hostile, tick), (long, tick)])

    shown = texts(fromstring(markup))
    assert "<script>" not in markup
    assert "\u202e" not in markup
    assert "\x1b" not in markup
    assert any(text and text.endswith(".bn2") and len(text) < 40 for text in shown)
