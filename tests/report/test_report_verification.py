from __future__ import annotations

from collections.abc import Callable

import pytest

from rnp_cli.report.verification import Link, Verification, VerifiedFile
from rnp_cli.report.verification_terminal import render_verification

ONE, OTHER = "ab" * 32, "cd" * 32


def made(*links: Link) -> Verification:
    return Verification(
        tool_version="0.1.0",
        files=(
            VerifiedFile(role="model", path="m.safetensors", sha256=ONE),
            VerifiedFile(role="report", path="m.report.json", sha256=OTHER),
            VerifiedFile(role="statement", path="m.intoto.json", sha256=None),
        ),
        links=links,
        not_checked=("Who made these files.",),
    )


@pytest.mark.parametrize(
    ("said", "found", "state"),
    [
        (ONE, ONE, "ok"),
        (ONE, OTHER, "differs"),
        (ONE, ONE.upper(), "differs"),
        ("", ONE, "differs"),
        (None, ONE, "missing"),
        (ONE, None, "missing"),
        (None, None, "missing"),
    ],
)
def test_a_link_holds_only_where_both_are_there_and_equal(
    said: str | None, found: str | None, state: str
) -> None:
    link = Link.between("model", "report file", said, found)

    assert link.state == state
    assert made(link).agrees == (state == "ok")


def test_one_broken_link_is_enough() -> None:
    good = Link.between("model", "report file", ONE, ONE)

    assert not made(good, Link.between("bom", "model file", ONE, OTHER)).agrees


def test_what_is_said_is_escaped_and_cut() -> None:
    link = Link.between("statement", "file \x1b[31m", "\u202e" + "x" * 9000, ONE)

    assert (link.of, link.state) == ("file \\x1b[31m", "differs")
    assert link.said is not None
    assert link.said.startswith("\\u202exx")
    assert len(link.said) < 400


def test_the_table_is_as_it_was(
    rendered: Callable[..., str], check_golden: Callable[[str, str], None]
) -> None:
    verification = made(
        Link.between("model", "report, but times", ONE, ONE),
        Link.between("report", "model's tensors", ONE, OTHER),
        Link.between("statement", "file [red]x.json", None, ONE),
    )

    check_golden("verification.txt", rendered(render_verification(verification)))
