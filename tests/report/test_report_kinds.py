from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from rnp_cli.errors import InputRefused
from rnp_cli.report.kinds import KINDS, read_any_report
from rnp_cli.report.scan import ScanReport
from rnp_cli.report.verification import Link, Verification

WRONG = (None, -1, 0, 99, 0.5, "x", [], {}, [1], True)


@pytest.fixture(params=[kind.command for kind in KINDS])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Any, Path]:
    """A report of each command, and the file that it was written to."""
    made = {
        "sanitize": "make_report",
        "detect": "make_detection",
        "trigger": "make_triggers",
        "filter": "make_filtering",
    }
    if request.param == "scan":
        report: Any = ScanReport(tool_version="0.1.0", files=(), other_files=3)
    elif request.param == "verify":
        link = Link.between("model", "report", "ab", "ab")
        report = Verification(
            tool_version="0.1.0", files=(), links=(link,), not_checked=()
        )
    else:
        report = request.getfixturevalue(made[request.param])()
    path = tmp_path / "given.json"
    path.write_text(report.model_dump_json())
    return request.param, report, path


def test_the_content_tells_the_kind(written: Any) -> None:
    command, report, path = written

    kind, read = read_any_report(path)

    assert (kind.command, read) == (command, report)
    assert "json" in kind.formats


def test_a_key_too_many_or_a_part_of_another_kind_is_refused(written: Any) -> None:
    command, _, path = written
    content = json.loads(path.read_text())

    for changes in ({"surplus": 1}, {"tool_version": 3}, {"schema_version": 2}):
        path.write_text(json.dumps(content | changes))
        with pytest.raises(InputRefused, match=f"a report of rnp {command}"):
            read_any_report(path)


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "3", "\x00", "[" * 5000, '[{"file": "a.png"}]']
)
def test_what_no_command_wrote_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "given.json"
    path.write_text(content)

    with pytest.raises(InputRefused, match="not a report of rnp") as refusal:
        read_any_report(path)

    assert refusal.value.hint


def damage(content: Any, choose: random.Random) -> None:
    """Delete or replace one value somewhere in JSON content."""
    keys = list(content) if isinstance(content, dict) else range(len(content))
    key = choose.choice(keys)
    below = content[key]
    if isinstance(below, dict | list) and below and choose.random() < 0.8:
        damage(below, choose)
    elif choose.random() < 0.3:
        del content[key]
    else:
        content[key] = choose.choice(WRONG)


def test_a_damaged_report_is_refused_or_shown(written: Any, rendered: Any) -> None:
    _, _, path = written
    sound = json.loads(path.read_text())
    choose = random.Random(0)
    ends = set()

    for _ in range(100):
        content = copy.deepcopy(sound)
        damage(content, choose)
        path.write_text(json.dumps(content))
        try:
            kind, read = read_any_report(path)
        except InputRefused:
            ends.add("refused")
        else:
            assert rendered(kind.render(read))
            ends.add("shown")

    assert ends == {"refused", "shown"}
