from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from rnp_cli.export.pictures import png
from rnp_cli.report import tried, words
from rnp_cli.report.detection import TriggerInfo
from rnp_cli.report.facts import class_name
from rnp_cli.report.html import html
from rnp_cli.report.pictures import StampedSample, TriggerPictures
from rnp_cli.report.plain import plain
from rnp_cli.report.sanitization import RankedChannel, RepairInfo, RepairRound

VOID = {"meta", "link", "br", "img", "input"}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=1>',
    "\x1b[31mred\x1b]0;owned\x07",
    "\u202egnp.exe\u2066",
    "{{ 7 * 7 }}</title></style><b>",
)
LOADED = {"src", "srcset", "data", "action", "poster", "formaction", "background"}


class Page(HTMLParser):
    """A page as it is read: its elements, and the text of each kind of them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.figures: list[set[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")
        if tag == "figure":
            self.figures.append(set())
        if "figure" in self.open:
            self.figures[-1].add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data

    def policy(self) -> str:
        return next(
            attributes["content"] or ""
            for tag, attributes in self.elements
            if attributes.get("http-equiv") == "Content-Security-Policy"
        )


def test_the_verdict_comes_first(make_report: Any) -> None:
    report = make_report()

    page = Page(html(report))

    assert page.texts["h1"] == [words.title(report)]
    assert words.said(report) in page.texts["header"][0]
    assert words.tone(report) in page.texts["header"][0]
    assert page.elements[0] == ("html", {"lang": "en"})


@pytest.mark.parametrize(
    ("outcome", "level", "tone"),
    [
        ("pruned", "none", "good"),
        ("pruned", "weak", "doubtful"),
        ("not-safe", "strong", "bad"),
    ],
)
def test_the_tone_is_a_word_and_a_color(
    make_report: Any, make_verdict: Any, outcome: str, level: str, tone: str
) -> None:
    report = make_report(outcome=outcome, verdict_after=make_verdict(level=level))

    text = html(report)

    assert f'class="verdict {tone}"' in text
    assert Page(text).texts["header"][0].split("\n")[1].endswith(tone)


def test_facts_triggers_and_limits_are_told(make_report: Any) -> None:
    report = make_report()

    page = Page(html(report))

    values = page.texts["dd"]
    assert {value for _, value in words.facts(report)} <= set(values)
    cells = page.texts["td"]
    for trigger in report.tried:
        assert set(tried.row(trigger)) <= set(cells)
    assert set(report.not_checked) <= set(page.texts["li"])
    written = [output.tensors_sha256 for output in report.outputs]
    digests = report.model.sha256, *written, report.digest()
    assert all(any(digest in value for value in values) for digest in digests)
    assert any("model.sanitized.onnx, ONNX opset 20, SHA-256" in v for v in values)


def test_success_is_called_an_estimate(make_report: Any) -> None:
    page = Page(html(make_report()))

    assert "Estimated attack success" in page.texts["dl"][0]
    assert "96% → 4%" in page.texts["dl"][0]
    assert "estimate" not in Page(html(make_report(tried=()))).texts["dt"][1].lower()


def test_nothing_is_loaded(make_report: Any) -> None:
    page = Page(html(make_report()))

    assert page.policy().startswith("default-src 'none';")
    for _, attributes in page.elements:
        assert not LOADED & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "data:,") == "data:,"
    assert not re.search(r"@import|url\(|https?://", html(make_report()))


def test_the_policy_allows_this_script_alone(make_report: Any) -> None:
    page = Page(html(make_report()))

    (script,) = page.texts["script"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.policy()
    assert "unsafe" not in page.policy().replace("style-src 'unsafe-inline'", "")


def test_without_channels_there_is_no_script(make_report: Any) -> None:
    page = Page(html(make_report(pruning=None)))

    assert "script" not in page.texts
    assert "script-src" not in page.policy()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_texts_from_files_act_on_nothing(
    make_report: Any,
    make_pruning: Any,
    hostile: str,
) -> None:
    usual = make_report()
    channel = RankedChannel(rank=1, layer=hostile, channel=0, mask=0.0, score=1.0)
    report = make_report(
        model=usual.model.model_copy(
            update={"file": hostile, "architecture": hostile, "findings": (hostile,)}
        ),
        samples=usual.samples.model_copy(update={"class_names": (hostile,) * 3}),
        pruning=make_pruning(pruned=(channel,), next_in_rank=(channel,)),
        outputs=(usual.outputs[0].model_copy(update={"file": hostile}),),
        unlearn_failure=hostile,
        not_checked=(hostile,),
        device=hostile,
        settings={hostile: {hostile: 1}},
        run=usual.run.model_copy(update={"stages": {hostile: 1.0}, "started": hostile}),
    )

    text = html(report)

    assert hostile not in text
    assert sum(plain(hostile) in cell for cell in Page(text).texts["td"]) >= 5
    assert sum(plain(hostile) in fact for fact in Page(text).texts["dd"]) >= 6
    assert all(c.isprintable() or c == "\n" for c in text)
    names = [tag for tag, _ in Page(text).elements]
    allowed = [tag for tag, _ in Page(html(usual)).elements]
    assert names.count("script") == 1
    assert set(names) <= set(allowed)


def test_each_chart_has_its_numbers_as_a_table(make_report: Any) -> None:
    page = Page(html(make_report()))

    assert len(page.figures) == 6
    for figure in page.figures:
        assert {"svg", "title", "desc", "details", "summary", "table"} <= figure
    named = [a["aria-labelledby"] for tag, a in page.elements if tag == "svg"]
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert sorted(ids) == sorted(" ".join(name or "" for name in named).split())
    assert len(set(ids)) == len(ids)


def test_a_pair_has_a_chart_beside_those_of_the_classes(
    make_report: Any, make_verdict: Any
) -> None:
    triggers, pairs = (
        [
            TriggerInfo(
                target=n, source=source, family="overlay", norm=9, success=1, found=True
            )
            for n in (0, 2)
        ]
        for source in (None, 1)
    )
    pair = make_verdict(kind="one-to-one", source=1, p_label=None)

    text = html(
        make_report(verdict=pair, triggers=triggers, pairs=pairs, verdict_after=None)
    )

    assert "evidence of a backdoor from class 1 (cat) to class 2 (dog)" in text
    assert "from class 1 (cat) to each class" in text
    assert text.count(">suspected</td>") == 1
    ids = [a["id"] for _, a in Page(text).elements if "id" in a]
    assert len(set(ids)) == len(ids)


def test_each_family_has_its_chart_and_the_suspected_class_stands_out(
    make_report: Any,
) -> None:
    triggers = [
        TriggerInfo(target=n, family=family, norm=1.0, success=0.9, found=n != 1)
        for family in ("overlay", "addition", "warp")
        for n in (0, 1, 2, None)
    ]

    page = Page(html(make_report(triggers=triggers)))

    kinds = [(a.get("class") or "").split() for _, a in page.elements]
    assert sum({"bar", "suspect"} <= set(kind) for kind in kinds) == 4
    assert page.texts["td"].count("suspected") == 4  # of three families, and margins
    assert page.texts["td"].count("none found") >= 3


def test_without_evidence_no_class_stands_out(
    make_report: Any, make_verdict: Any
) -> None:
    innocent = make_verdict(level="none", kind=None, target=None)

    page = Page(html(make_report(verdict=innocent)))

    assert "suspected" not in page.texts["td"]


PARTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "pruning": ({"pruning": None}, {"Pruning", "Channels", "Recovery"}),
    "unlearn": ({"unlearn": None, "unlearn_failure": "No way."}, {"Unlearning"}),
    "label": ({"label": None, "label_after": None}, set()),
    "verdict_after": ({"verdict_after": None}, set()),
    "tried": (
        {"tried": ()},
        {"Recovered triggers of the suspected class (estimates)"},
    ),
    "triggers": ({"triggers": ()}, {"Overlay, pixels"}),
    "margins": ({"margins": ()}, {"Maximum margin"}),
    "both": (
        {"triggers": (), "margins": ()},
        {"Smallest trigger and widest margin for each class"},
    ),
    "outputs": ({"outputs": ()}, set()),
    "settings": ({"settings": {}}, set()),
}


def headings(page: Page) -> set[str]:
    return {*page.texts["h2"], *page.texts["h3"]}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_missing_leaves_out_its_section(
    make_report: Any, part: str
) -> None:
    without, sections = PARTS[part]

    page = Page(html(make_report(**without)))

    assert headings(Page(html(make_report()))) - headings(page) >= sections
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))


def test_a_model_without_evidence_has_neither_charts_nor_empty_sections(
    make_report: Any,
) -> None:
    without = {
        name: value for parts, _ in PARTS.values() for name, value in parts.items()
    }

    page = Page(html(make_report(outcome="unchanged", **without)))

    assert page.figures == []
    assert page.texts["h2"] == ["What was found", "Not checked", "How it was made"]


def test_no_safe_threshold(make_report: Any, make_pruning: Any) -> None:
    report = make_report(
        outcome="no-safe-threshold",
        verdict_after=None,
        pruning=make_pruning(pruned=(), threshold=None, recover=()),
        outputs=(),
    )

    page = Page(html(report))

    assert "Most suspicious channels (none pruned)" in page.texts["h2"]
    assert "chosen" not in page.texts["td"]
    assert "no model was written" in page.texts["dd"]


def test_rounds_of_repair_are_counted(make_report: Any) -> None:
    rounds = (RepairRound(triggers=2, clean_accuracy=0.93),) * 2
    repair = RepairInfo(rounds=rounds, is_exhausted=True)

    page = Page(html(make_report(outcome="repaired", repair=repair)))

    figures = page.texts["dl"][0]
    assert re.search(r"Rounds of repair\s+2\s+nothing was left", figures)


def test_channels_keep_their_order_and_what_became_of_them(
    make_report: Any,
) -> None:
    page = Page(html(make_report()))

    cells = page.texts["td"]
    layers = [c for c in cells if re.fullmatch(r"layer\d\.\d\.bn\d", c)]
    assert layers[-3:] == ["layer4.1.bn2", "layer4.0.bn1", "layer3.0.bn2"]
    assert cells.count("pruned") == 2
    assert cells.count("next in rank") == 1


def colors(text: str) -> list[dict[str, str]]:
    """The named colors of the light and of the dark page."""
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)[:2]
    found = [dict(re.findall(r"--(\S+): (#\w{6})", part)) for part in (light, dark)]
    assert found[0].keys() == found[1].keys()
    return found


def luminance(color: str) -> float:
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_light_and_dark_have_contrast_enough(make_report: Callable[..., Any]) -> None:
    for scheme in colors(html(make_report())):
        for text in ("ink", "soft"):
            assert contrast(scheme[text], scheme["card"]) >= 4.5
        for tone in ("good", "doubtful", "bad"):
            assert contrast(scheme[tone], scheme["on-tone"]) >= 4.5
        for mark in ("accuracy", "success", "usual", "suspect", "good"):
            assert contrast(scheme[mark], scheme["card"]) >= 3


def dot(shade: int) -> str:
    """A PNG of one pixel, in base64."""
    return base64.b64encode(png(Image.new("L", (1, 1), shade))).decode()


def test_a_trigger_is_shown_by_itself_and_on_samples(make_report: Any) -> None:
    sample = StampedSample(clean=dot(10), stamped=dot(20), label=0, before=2, after=0)
    shown = TriggerPictures(on_gray=dot(30), extent=dot(40), samples=(sample,))
    report = make_report()
    first = report.tried[0].model_copy(update={"pictures": shown})
    report = report.model_copy(update={"tried": (first, *report.tried[1:])})

    page = Page(html(report))

    images = [attributes for tag, attributes in page.elements if tag == "img"]
    sources = [f"data:image/png;base64,{dot(shade)}" for shade in (30, 40, 10, 20)]
    assert [image["src"] for image in images] == sources
    assert all(image["alt"] for image in images)
    before, after = (class_name(n, report.samples) for n in (2, 0))
    assert images[3]["alt"] == f"With the trigger: {before} before, {after} after"
    assert "img-src data:" in page.policy()


@pytest.mark.parametrize("text", ['"><script>', "", "R0lGODlh", dot(1) + '" onload='])
def test_a_picture_is_nothing_but_a_png(text: str) -> None:
    with pytest.raises(ValidationError):
        TriggerPictures(on_gray=text, extent=dot(0), samples=())


def test_a_list_has_each_name_once_also_where_files_are_many(make_report: Any) -> None:
    report = make_report()
    assert len(report.outputs) > 1

    page = html(report)

    for pairs in re.findall(r"<dl.*?</dl>", page, re.DOTALL):
        names = re.findall(r"<dt>(.*?)</dt>", pairs)
        assert len(set(names)) == len(names)
    for output in report.outputs:
        assert f"<dd>{output.file}, {output.format}" in page


def test_what_scrolls_can_be_reached_and_has_a_name(make_report: Any) -> None:
    page = Page(html(make_report()))

    scrolling = [
        (tag, attributes)
        for tag, attributes in page.elements
        if attributes.get("class") == "scroll"
    ]
    assert scrolling
    for tag, attributes in scrolling:
        assert tag == "section"
        assert attributes["aria-label"]
        assert attributes["tabindex"] == "0"
