from __future__ import annotations

import pytest
from pydantic import BaseModel
from rich.console import RenderableType

from rnp_cli.cli.show import show
from rnp_cli.report.facts import facts_table


class Named(BaseModel):
    name: str


def render(report: Named) -> RenderableType:
    return facts_table([("Model", report.name)])


@pytest.mark.parametrize("filling", range(60, 80))
def test_no_line_that_a_name_is_broken_into_is_a_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, filling: int
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    named = Named(name=f"{'x' * filling} ::error::owned")

    show(named, "table", render)

    out = capsys.readouterr().out
    assert "error::owned" in out
    assert not any(line.lstrip().startswith("::") for line in out.splitlines())


def test_a_name_with_colons_within_a_line_stays_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(Named(name="std::vector"), "table", render)

    assert "std::vector" in capsys.readouterr().out
