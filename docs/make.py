"""Write docs/commands and docs/knobs.md from the code, and from TOML files beside this.

python docs/make.py

What options do, their defaults and variables come from the commands; examples and
exit codes, which only people can choose, from pages.toml. ``knobs.py`` does the knobs.
"""

from __future__ import annotations

import inspect
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from knobs import PAGE, knobs_page
from typer.models import ArgumentInfo, CommandInfo, OptionInfo

from rnp_cli.cli.app import app

HERE = Path(__file__).parent
FOLDER = HERE / "commands"
_DEFAULT = re.compile(r"\s*\\\[default: (.*)\]$")
_CODE = re.compile(r"(?<![\w`])(--[a-z][a-z-]*(?:=\w+)?|\$[A-Z_]+|=-?\d,\d)")


@dataclass(frozen=True)
class Parameter:
    """An argument or an option, as a row of its table."""

    name: str
    values: str
    default: str
    variable: str
    panel: str
    told: str


def pages() -> dict[Path, str]:
    """Return what each page says, by its place."""
    texts = tomllib.loads((HERE / "pages.toml").read_text(encoding="utf-8"))
    commands = {_name(command): command for command in app.registered_commands}
    if texts.keys() != commands.keys():
        differing = ", ".join(sorted(texts.keys() ^ commands.keys()))
        raise SystemExit(f"pages.toml and the commands differ in {differing}.")
    written = {
        FOLDER / f"{name}.md": _page(name, command, texts[name])
        for name, command in commands.items()
    }
    rows = [
        f"| [`rnp {name}`]({name}.md) | {_marked(_said(command)[0])} |"
        for name, command in commands.items()
    ]
    head = ["# Commands", "", "| command | what it does |", "|---|---|"]
    written[FOLDER / "README.md"] = "\n".join([*head, *rows, "", _MORE]) + "\n"
    written[PAGE] = knobs_page()
    return written


def _page(name: str, command: CommandInfo, texts: dict[str, Any]) -> str:
    summary, *paragraphs = _said(command)
    parameters = list(_parameters(command))
    arguments = [p for p in parameters if not p.name.startswith("-")]
    options = [p for p in parameters if p.name.startswith("-")]
    synopsis = " ".join(["rnp", name, "[OPTIONS]", *(p.name for p in arguments)])
    parts = [f"# rnp {name}", _marked(summary), f"    {synopsis}"]
    parts += map(_marked, paragraphs)
    parts.append("## Examples")
    for example in texts["examples"]:
        parts += [_wrapped(example["for"]), f"    {example['run']}"]
    parts += ["## Arguments", "\n".join(_table(arguments))]
    for panel in dict.fromkeys(p.panel for p in options):
        shown = [p for p in options if p.panel == panel]
        parts += [f"## {panel}", "\n".join(_table(shown))]
    if any(p.name == "--config" for p in options):
        parts.append(_wrapped(_SETTINGS))
    parts.append("## Exit codes")
    codes = (f"| {code} | {said} |" for code, said in texts["exit-codes"].items())
    parts.append("\n".join(["| exit code | meaning |", "|---|---|", *codes]))
    return "\n\n".join(parts) + "\n"


_MORE = (
    "Options may be set in [a file of settings](../settings.md), and so may the\n"
    "[knobs of the stages](../knobs.md)."
)
_SETTINGS = (
    "An option wins over its variable, and that over [a file of settings]"
    "(../settings.md), which may set all options that have a variable."
)


def _parameters(command: CommandInfo) -> Iterator[Parameter]:
    callback = command.callback
    assert callback is not None
    hints = get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, *more = get_args(hints[name]) or (hints[name],)
        for info in more:
            if isinstance(info, ArgumentInfo | OptionInfo):
                yield _parameter(name, kind, info, parameter.default)


def _parameter(
    name: str, kind: Any, info: ArgumentInfo | OptionInfo, default: Any
) -> Parameter:
    told = info.help or ""
    said = _DEFAULT.search(told)
    told = _DEFAULT.sub("", told)
    shown = "" if default is None or default is False else f"`{default}`"
    if said is not None:
        shown = said[1] if " " in said[1] else f"`{said[1]}`"
    if default is inspect.Parameter.empty:
        shown = "required"
    if isinstance(info, ArgumentInfo):
        more = "..." if get_origin(kind) is list else ""
        flag = (info.metavar or name.upper()) + more
        flag = flag if default is inspect.Parameter.empty else f"[{flag}]"
    else:
        # Typer takes the first name for a default until it builds the option.
        flags = [one for one in (info.default, *(info.param_decls or ())) if one]
        names = [f for f in flags if str(f).startswith("-")]
        flag = ", ".join(map(str, names)) or f"--{name.replace('_', '-')}"
    return Parameter(
        name=flag,
        values=_values(kind, info),
        default=shown.replace("<", "\\<"),
        variable=f"`{info.envvar}`" if info.envvar else "",
        panel=str(info.rich_help_panel or "Options"),
        told=_cell(_marked(told, width=None)),
    )


def _values(kind: Any, info: ArgumentInfo | OptionInfo) -> str:
    """Say what an option takes, from the type that the command gives it."""
    kinds = [one for one in get_args(kind) if one is not type(None)]
    if get_origin(kind) is Literal:
        return " ".join(f"`{choice}`" for choice in get_args(kind))
    if get_origin(kind) is list:
        return f"{_values(kinds[0], info)}, repeatable"
    if kinds:
        return _values(kinds[0], info)
    if kind is bool:
        return "flag"
    word = {int: "whole number", float: "number", Path: "path", str: "text"}[kind]
    if info.min is None:
        return word
    most = "" if info.max is None or info.max > 1e9 else f" to {info.max:g}"
    return f"{word}, {info.min:g}{most or ' or more'}"


def _table(parameters: list[Parameter]) -> Iterator[str]:
    """Lay parameters out, without the columns that would be empty."""
    columns: dict[str, Callable[[Parameter], str]] = {
        "name": lambda p: f"`{p.name}`",
        "takes": lambda p: p.values,
        "default": lambda p: p.default,
        "variable": lambda p: p.variable,
        "what it does": lambda p: p.told,
    }
    shown = {h: f for h, f in columns.items() if any(f(p) for p in parameters)}
    yield f"| {' | '.join(shown)} |"
    yield "|---" * len(shown) + "|"
    for parameter in parameters:
        yield f"| {' | '.join(cell(parameter) for cell in shown.values())} |"


def _said(command: CommandInfo) -> list[str]:
    """Return the paragraphs of a command's help, without its example."""
    text = inspect.cleandoc(inspect.getdoc(command.callback) or "")
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    return [part for part in paragraphs if not part.startswith("Example:")]


def _name(command: CommandInfo) -> str:
    assert command.callback is not None
    return command.name or command.callback.__name__


def _marked(text: str, *, width: int | None = 88) -> str:
    """Set options and variables as code, and break lines."""
    marked = _CODE.sub(r"`\1`", text.replace("<", "\\<").replace("\\[", "["))
    return marked if width is None else _wrapped(marked)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, width=88, break_long_words=False, break_on_hyphens=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def write() -> None:
    """Write all pages, and remove those of commands that are no more."""
    written = pages()
    FOLDER.mkdir(exist_ok=True)
    for path in set(FOLDER.glob("*.md")) - written.keys():
        path.unlink()
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
