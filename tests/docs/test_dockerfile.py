"""What can be known of the image without building it."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", "").splitlines()


def told(instruction: str) -> list[str]:
    return [
        line.removeprefix(f"{instruction} ")
        for line in LINES
        if line.startswith(f"{instruction} ")
    ]


def test_bases_are_pinned_and_versions_are_those_of_the_tests() -> None:
    for base in told("FROM"):
        assert re.match(r"python:3\.\d+-slim-\w+( AS \w+)?$", base)
    [install] = [line for line in told("RUN") if "pip install" in line]
    assert "--constraint constraints.txt" in install


def test_the_command_runs_without_rights() -> None:
    assert told("ENTRYPOINT") == ['["rnp"]']
    [user] = told("USER")
    assert int(user) > 0
    assert LINES.index(f"USER {user}") < LINES.index('ENTRYPOINT ["rnp"]')


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored

    sources = [
        name
        for copied in told("COPY")
        if not copied.startswith("--from")
        for name in copied.split()[:-1]
    ]

    assert sources
    for name in sources:
        assert (ROOT / name).exists()
        assert any(fnmatch(name, pattern) for pattern in kept)
