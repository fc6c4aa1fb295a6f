from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from rnp_cli.cli.accepted import read_accepted
from rnp_cli.errors import UsageError
from rnp_cli.report.acceptance import Acceptance

SHA = "ab" * 32
PARTS = {
    "model": f'"{SHA}"',
    "rule": '"residual=15"',
    "reason": '"""a\n  b"""',
    "expires": "2027-01-31",
}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(**changes: str) -> Path:
        parts = {name: value for name, value in (PARTS | changes).items() if value}
        lines = [f"{name} = {value}" for name, value in parts.items()]
        path = tmp_path / "accepted.toml"
        path.write_text("\n".join(["[[accepted]]", *lines, ""]))
        return path

    return written


def test_an_entry_is_read(write: Any) -> None:
    assert read_accepted(None) == ()
    assert read_accepted(write()) == (
        Acceptance(
            model=SHA,
            rule="residual",
            limit=15,
            reason="a b",
            expires=date(2027, 1, 31),
        ),
    )
    [entry] = read_accepted(write(rule='"backdoor"', model=f'"{SHA.upper()}"'))
    assert (entry.rule, entry.limit, entry.model) == ("backdoor", None, SHA)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reason": ""}, "entry 1: reason must be"),
        ({"reason": '" "'}, "entry 1: reason must be"),
        ({"expires": ""}, "entry 1: expires must be"),
        ({"expires": '"2027-01-31"'}, "entry 1: expires must be"),
        ({"expires": "2027-01-31T00:00:00"}, "entry 1: expires must be"),
        ({"model": ""}, "entry 1: model must be"),
        ({"model": '"model.pt"'}, "entry 1: model must be"),
        ({"rule": '"not-safe"'}, "entry 1: rule must be"),
        ({"rule": '"residual"'}, "entry 1: rule must be"),
        ({"rule": '"accuracy=nan"'}, "entry 1: rule must be"),
        ({"expire": "2027-01-31"}, "no key 'expire'; the nearest is 'expires'"),
    ],
)
def test_an_entry_that_is_unclear_is_refused(
    write: Any, changes: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as error:
        read_accepted(write(**changes))

    assert "accepted.toml" in error.value.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[[acepted]]\n", "nearest is 'accepted'"),
        ("accepted = 3\n", "must be a table"),
        ("accepted = [3]\n", "must be a table"),
        ("[accepted]\nmodel = 1\n", "must be a table"),
        ("[[accepted\n", "cannot be read"),
    ],
)
def test_a_file_of_something_else_is_refused(
    tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "accepted.toml"
    path.write_text(content)

    with pytest.raises(UsageError, match=said):
        read_accepted(path)
