"""The files that a team keeps its settings in: where they are, and what they set.

One has the tables of options, ``[options]`` for all commands and one named after each
command, and beside them the knobs of the stages. In ``pyproject.toml`` all of these
stand below ``[tool.rnp]``.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnp_cli.cli.settable import TABLES
from rnp_cli.errors import UsageError

NAME, PROJECT = "rnp.toml", "pyproject.toml"
_MOST_BYTES = 1 << 20
_SECTION = re.compile(rb"""tool\s*\.\s*["']?rnp\b|^\s*["']?rnp["']?\s*[=.]""", re.M)


@dataclass(frozen=True)
class Layer:
    """What one file sets. tables: options by table; knobs: those of the stages."""

    file: Path
    tables: dict[str, dict[str, Any]]
    knobs: dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """The files, strongest first. unread: those that lie beside the model."""

    layers: tuple[Layer, ...] = ()
    unread: tuple[Path, ...] = ()


def find_settings(named: Path | None, model: Path) -> Settings:
    """Read the file that is named, or rnp.toml here, and pyproject.toml here.

    Only the working directory is looked into, and not even that where the model lies
    in it: what came with an untrusted model must not say how it is judged. Raises
    UsageError.
    """
    here = [path for path in (Path(NAME), Path(PROJECT)) if path.is_file()]
    if named is not None:
        here = [p for p in here if p.name == PROJECT and not _is_same(p, named)]
    layers = [] if named is None else [_read(named)]
    if lies_here(model):
        unread = tuple(path for path in here if _sets_something(path))
        return Settings(tuple(layers), unread)
    layers += [_read(p) for p in here if p.name == NAME or _sets_something(p)]
    return Settings(tuple(layers))


def lies_here(model: Path) -> bool:
    """Say whether the working directory is the model's own folder, or within it."""
    try:
        here, there = Path.cwd().resolve(), model.resolve()
    except (OSError, RuntimeError):  # links that lead nowhere
        return True
    parents = {there.parent, model.absolute().parent.resolve()}
    return here in parents or here.is_relative_to(there)


def unknown_key(where: str, key: str, known: Collection[str]) -> UsageError:
    """Say that a key is not known, and which one it is nearest to."""
    [nearest] = difflib.get_close_matches(key, known, n=1, cutoff=0)
    return UsageError(
        f"{where} has no key {key!r}; the nearest is {nearest!r}.",
        hint=f"It may have {', '.join(sorted(known))}.",
    )


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raise UsageError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # no UTF-8, no TOML, or a huge number
        raise UsageError(f"{path} cannot be read: {error}.") from error


def _read(path: Path) -> Layer:
    content = load_toml(path)
    if path.name == PROJECT:
        tool = content.get("tool", {})
        content = tool.get("rnp", {}) if isinstance(tool, dict) else {}
    if not isinstance(content, dict):
        raise UsageError(f"{path}: tool.rnp must be a table, [tool.rnp].")
    tables = dict(_tables(content, path))
    knobs = {name: value for name, value in content.items() if name not in TABLES}
    return Layer(path, tables, knobs)


def _tables(
    content: dict[str, Any], path: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in TABLES:
        table = content.get(name, {})
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {name} must be a table, [{name}].")
        yield name, table


def _is_same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()


def _sets_something(path: Path) -> bool:
    """Say whether a file may have settings at all; it is not parsed for that."""
    if path.name == NAME:
        return True
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    return _SECTION.search(text) is not None
