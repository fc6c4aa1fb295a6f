"""The report as GitHub-flavored Markdown, for job summaries and pull requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rnp_cli.report import tried, words
from rnp_cli.report.plain import plain
from rnp_cli.report.sanitization import PruningInfo, Report

_MOST_ROWS = 40
_SIGNS: dict[words.Tone, str] = {"good": "✅", "doubtful": "⚠️", "bad": "❌"}
# All but plain text; and what begins an address, which would become a link.
_MARKUP = re.compile(r"[^\w .,;/()%=+'-]|_|[wW](?=[wW]{2}\.)")


def markdown(report: Report) -> str:
    """Write the outcome, then facts, triggers, channels, and what was not checked."""
    return "\n\n".join(_parts(report)) + "\n"


def _parts(report: Report) -> Iterator[str]:
    sign = _SIGNS[words.tone(report)]
    yield f"## {sign} {_escaped(words.title(report))}"
    yield _escaped(words.said(report))
    yield _table(("", ""), words.facts(report))
    if report.tried:
        yield "### Recovered triggers of the suspected class (estimates)"
        head = ("Trigger", "Turns before", "after", "Smallest after")
        yield _table(head, map(tried.row, report.tried))
        yield _escaped(tried.NOTE)
    if report.pruning is not None and report.pruned:
        yield "### Pruned channels"
        yield _channels(report.pruning)
        yield _escaped(words.CHANNELS_NOTE)
    yield "### Not checked"
    yield "\n".join(f"- {_escaped(note)}" for note in report.not_checked)
    yield f"rnp {_escaped(report.tool_version)}, SHA-256 of the model as it came: " + (
        f"`{_escaped(report.model.sha256)}`"
    )


def _channels(pruning: PruningInfo) -> str:
    head = ("Rank", "Layer", "Channel", "Mask", "Score")
    rows = [
        (str(c.rank), c.layer, str(c.channel), f"{c.mask:.3f}", f"{c.score:.2f}")
        for c in pruning.pruned
    ]
    table = _table(head, rows[:_MOST_ROWS])
    hidden = len(rows) - _MOST_ROWS
    return table if hidden <= 0 else f"{table}\n\n{hidden} more are in the JSON."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_escaped(c) for c in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    """Write as character references what Markdown, HTML or a job's log might read."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", plain(text))
