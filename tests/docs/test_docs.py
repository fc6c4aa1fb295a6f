"""The pages are those of the commands as they are, and what they show can be typed."""

from __future__ import annotations

import re
import runpy
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from rnp_cli.checkpoints import read_checkpoint
from rnp_cli.cli.accepted import read_accepted
from rnp_cli.cli.app import app
from rnp_cli.cli.defaults import settings_of
from rnp_cli.cli.knobs import read_knobs
from rnp_cli.defense.rnp import DefenseConfig
from rnp_cli.evidence.config import EvidenceConfig

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = tomllib.loads((DOCS / "pages.toml").read_text())
EXAMPLES = [example["run"] for page in PAGES.values() for example in page["examples"]]


def parse(line: str) -> Any:
    """Parse a command line as Typer does, and run nothing."""
    name, command, *args = shlex.split(line.partition(">")[0])
    group: Any = get_command(app)
    assert name == "rnp"
    parent = group.make_context("rnp", [command, "--help"], resilient_parsing=True)
    return group.commands[command].make_context(command, args, parent=parent)


def test_the_committed_pages_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    pages: dict[Path, str] = runpy.run_path(str(DOCS / "make.py"))["pages"]()

    assert {*(DOCS / "commands").iterdir(), DOCS / "knobs.md"} == set(pages)
    for path, text in pages.items():
        assert path.read_text() == text, f"{path.name}: run python docs/make.py"


def test_each_page_names_every_option_of_its_command() -> None:
    group: Any = get_command(app)

    for name, command in group.commands.items():
        page = (DOCS / "commands" / f"{name}.md").read_text()
        for param in command.params:
            if param.opts[0].startswith("-"):
                assert f"`{', '.join(param.opts)}`" in page
                assert not param.envvar or f"`{param.envvar}`" in page


@pytest.mark.parametrize("line", EXAMPLES)
def test_each_example_is_a_command_line(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert parse(line).params


def test_the_settings_that_are_shown_fit(
    digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, entries = re.findall(
        r"```toml\n(.*?)```", (DOCS / "settings.md").read_text(), re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rnp.toml").write_text(shown)
    digest = read_checkpoint(digits.model).sha256
    (tmp_path / "accepted.toml").write_text(entries.replace("2f0c…", digest))

    ctx = parse("rnp sanitize models/model.pt --clean-dir data/")

    assert ctx.params["max_samples"] == 500
    _, evidence = read_knobs(settings_of(ctx).layers)
    assert evidence.inversion.steps == 200
    backdoor, residual = read_accepted(ctx.params["accepted"])
    assert (backdoor.rule, residual.limit) == ("backdoor", 15)


def test_the_settings_name_every_knob_and_table_of_the_stages() -> None:
    text = (DOCS / "settings.md").read_text()

    known = {*DefenseConfig.model_fields, *EvidenceConfig.model_fields}
    assert {name for name in known if f"`{name}`" not in text} == set()


def test_every_knob_has_a_row_with_its_default_and_a_sentence() -> None:
    sections = (DOCS / "knobs.md").read_text().split("\n## ")

    fields = DefenseConfig.model_fields | EvidenceConfig.model_fields
    for name, field in fields.items():
        known = getattr(type(field.default), "model_fields", {name: field})
        [section] = [s for s in sections if s.startswith(f"[{name}]")] or sections[:1]
        for knob, of_knob in known.items():
            [row] = re.findall(rf"^\| `{knob}` \|.*", section, re.MULTILINE)
            assert f"| `{of_knob.default}` |" in row
            assert row.endswith(". |")


@pytest.mark.parametrize("page", [ROOT / "README.md", *DOCS.rglob("*.md")], ids=str)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())

    assert links or page.parent.name == "commands"
    for link in links:
        assert (page.parent / link).exists(), link
