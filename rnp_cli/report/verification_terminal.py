"""A verification as Rich renderables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rnp_cli.report.facts import list_table, not_checked
from rnp_cli.report.plain import plain
from rnp_cli.report.verification import Link, Role, State, Verification

_NAMES: dict[Role, str] = {
    "model": "Model",
    "report": "Report",
    "statement": "Statement",
    "bom": "BOM",
}
_STYLES: dict[State, str] = {"ok": "green", "differs": "red", "missing": "yellow"}


def render_verification(verification: Verification) -> RenderableType:
    """Say whether all agree, then which files there are, and every link."""
    return Group(
        _verdict(verification),
        Padding(_files(verification), (0, 0, 1, 1)),
        _links(verification),
        not_checked(verification.not_checked),
    )


def _verdict(verification: Verification) -> Panel:
    wrong = [link for link in verification.links if link.state != "ok"]
    said = f"All {len(verification.links)} links agree."
    color, title = "green", "The files agree"
    if wrong:
        said = f"{len(wrong)} of {len(verification.links)} links do not hold."
        color, title = "red", "The files do not agree"
    absent = [_NAMES[f.role].lower() for f in verification.files if f.sha256 is None]
    if absent and all(link.state == "missing" for link in wrong):
        color, title = "yellow", "Files are missing"
        said = (
            f"Not there: {' and '.join(absent)}. They are looked for beside the model; "
            "--report, --statement and --bom name them elsewhere."
        )
    return Panel(Text(said), title=title, title_align="left", border_style=color)


def _files(verification: Verification) -> Table:
    table = Table.grid(padding=(0, 2))
    for file in verification.files:
        path = plain(file.path) + (" (not there)" if file.sha256 is None else "")
        table.add_row(Text(_NAMES[file.role], "bold"), Text(path, overflow="fold"))
    return table


def _links(verification: Verification) -> Table:
    table = list_table("Links")
    table.add_column("Said by")
    table.add_column("Of", overflow="fold")
    table.add_column("")
    table.add_column("SHA-256", overflow="fold")
    for link in verification.links:
        table.add_row(
            _NAMES[link.said_by],
            Text(plain(link.of)),
            Text(link.state, _STYLES[link.state]),
            Text("\n".join(map(plain, _digests(link)))),
        )
    return table


def _digests(link: Link) -> Iterator[str]:
    if link.state == "ok":
        yield link.said or ""
        return
    yield f"said  {link.said or 'nothing'}"
    yield f"found {link.found or 'nothing'}"
