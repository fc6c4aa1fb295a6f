"""Settings as the defaults of options: files give way to the environment and flags.

The order is Click's own: the command line, the environment, ``default_map``, which
the files fill, and the default that the help names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from rnp_cli.cli.reads import is_read
from rnp_cli.cli.settable import OWN, SHARED
from rnp_cli.cli.settings import Layer, Settings, find_settings, unknown_key
from rnp_cli.errors import UsageError

_META = "rnp_cli.settings"


def use_settings(ctx: typer.Context, named: Path | None) -> Path | None:
    """Take the defaults of this command's options from the files; a callback.

    The model must have been parsed by now, and what the files may set must not. Raises
    UsageError.
    """
    if ctx.resilient_parsing:
        return named
    settings = find_settings(named, Path(ctx.params["model"]))
    ctx.meta[_META] = settings
    params = _settable(ctx.command)
    ctx.default_map = {}
    for layer in reversed(settings.layers):
        for option, value in _options(layer, ctx).items():
            if option in params:
                ctx.default_map[params[option].name] = value
    return named


def settings_of(ctx: typer.Context) -> Settings:
    """Return the files that this command was set up by."""
    found: Settings = ctx.meta.get(_META, Settings())
    return found


def sources(ctx: typer.Context) -> dict[str, str]:
    """Say where each option and knob comes from that has not its default.

    Of the knobs, only those that the command reads are named. Names the files on
    stderr, too: with what they set, or why they were left unread.
    """
    from rnp_cli.report.plain import plain

    settings = settings_of(ctx)
    found = {
        knob: by
        for knob, by in _of_knobs(reversed(settings.layers))
        if is_read(knob, str(ctx.command.name), ctx.params)
    }
    found |= _of_options(settings, ctx)
    if "max-accuracy-drop" in found:  # the same in points, and stronger
        found.pop("threshold.max_accuracy_drop", None)
    for layer in settings.layers:
        of_file = [name for name, by in found.items() if by == layer.file.name]
        if of_file:
            told = f"Settings from {layer.file}: {', '.join(of_file)}."
            typer.echo(plain(told), err=True)
    for path in settings.unread:
        typer.echo(
            f"{path} was not read: it lies beside the model, and may have come with "
            f"it. Where it is yours, say --config {path}.",
            err=True,
        )
    return {plain(name): plain(by) for name, by in found.items()}


def _of_knobs(layers: Iterable[Layer]) -> Iterator[tuple[str, str]]:
    for layer in layers:
        for table, value in layer.knobs.items():
            names = [f"{table}.{key}" for key in value] if _is_table(value) else [table]
            for name in names:
                yield name, layer.file.name


def _of_options(settings: Settings, ctx: typer.Context) -> Iterator[tuple[str, str]]:
    tables = ("options", str(ctx.command.name))
    for option, param in sorted(_settable(ctx.command).items()):
        source = ctx.get_parameter_source(param.name)
        match source and source.name:
            case "COMMANDLINE":
                yield option, "command line"
            case "ENVIRONMENT":
                yield option, str(param.envvar)
            case "DEFAULT_MAP":
                setters = (
                    layer.file.name
                    for layer in settings.layers
                    if any(option in layer.tables[name] for name in tables)
                )
                yield option, next(setters)


def _options(layer: Layer, ctx: typer.Context) -> dict[str, Any]:
    """Check all tables of a file; return what they set for this command, by option."""
    values: dict[str, Any] = {}
    for name, table in layer.tables.items():
        command = ctx.command
        if name != "options" and ctx.parent is not None:
            command = ctx.parent.command.commands[name]  # type: ignore[attr-defined]
        params = _settable(command)
        known = SHARED if name == "options" else params
        read = {}
        for option in table:
            if option not in known:
                raise unknown_key(f"{layer.file}: [{name}]", option, known)
            read[option] = _value(layer, name, option, params.get(option), ctx)
        if command is ctx.command:
            values |= read
    return values


def _value(layer: Layer, table: str, option: str, param: Any, ctx: Any) -> Any:
    """Read one value; let the command's own parameter check it, where it has one."""
    kinds = {**SHARED, **OWN.get(table, {})}
    where = f"{layer.file}: [{table}]"
    try:
        value = kinds[option](layer.tables[table][option], layer.file.parent)
    except ValueError as error:
        raise UsageError(f"{where} {option} {error}") from error
    if param is not None:
        try:
            param.process_value(ctx, value)
        except typer.BadParameter as error:
            said = error.message.removeprefix("Value error, ")
            raise UsageError(f"{where} {option}: {said}") from error
    return value


def _settable(command: Any) -> dict[str, Any]:
    """Return the parameters of a command that files may set, by their options."""
    settable = {*SHARED, *OWN[command.name]}
    return {
        option: param
        for param in command.params
        for option in (name.removeprefix("--") for name in param.opts)
        if option in settable
    }


def _is_table(value: object) -> bool:
    return isinstance(value, dict)
