"""A scan as Rich renderables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rnp_cli.report.plain import plain
from rnp_cli.report.scan import ArchitectureGuess, LayerInfo, ScannedModel, ScanReport

_MOST_ROWS = 24
_MOST_NAMES = 8
_STYLES = {"gadget": "bold red", "unknown": "yellow", "harmless": "dim"}
_LIMITS = (
    "Nothing in these files was executed. A scan says what a file is and holds, not "
    "whether the network in it has a backdoor: that is what `rnp sanitize` is for."
)


def render_scan(report: ScanReport) -> RenderableType:
    """Each model in turn, then how many there were and what was not looked at."""
    count = f"{len(report.files)} scanned, {report.refused} refused."
    if report.other_files:
        count += (
            f" Not looked at: {report.other_files} other "
            f"{_plural('file', report.other_files)} in the folders, without a model's "
            "suffix."
        )
    if report.without_models:
        count += f" No model file in {', '.join(report.without_models)}."
    return Group(
        *(part for model in report.files for part in _model(model)),
        Text(count, style="bold"),
        Text(_LIMITS, style="dim"),
    )


def _model(model: ScannedModel) -> Iterator[RenderableType]:
    yield _verdict(model)
    yield Padding(_facts(model), (0, 0, 1, 1))
    if model.layers:
        yield Padding(_layers(model.layers), (0, 0, 1, 1))
    if model.globals:
        yield Padding(_globals(model), (0, 0, 1, 1))


def _verdict(model: ScannedModel) -> Panel:
    text = Text(plain(model.path), style="bold")
    if model.refusal is not None:
        text.append("\n" + plain(model.refusal.message), style="not bold")
        text.append("\n\n" + plain(model.refusal.hint), style="not bold dim")
        return Panel(text, title="Refused", title_align="left", border_style="red")
    tensors, parameters = len(model.tensors), model.parameters
    said = f"\n{tensors:,} tensors, {parameters:,} values; all can be read."
    text.append(said, style="not bold")
    style = "yellow" if model.findings else "green"
    return Panel(text, title="Read", title_align="left", border_style=style)


def _facts(model: ScannedModel) -> Table:
    size = f"{model.size:,} bytes" if model.size else ""
    rows = [("Format", model.format), ("Size", size)]
    rows.append(("SHA-256", model.sha256))
    if model.architecture is not None:
        rows += _architecture(model.architecture)
    rows += [("Found under", model.wrapper), ("Prefix", model.prefix)]
    rows.append(("Dropped", _some(model.dropped)))
    rows += [("Finding", finding) for finding in model.findings]
    broken = [t.name for t in model.tensors if t.nan or t.inf]
    rows.append(("NaN or infinite", _some(broken)))
    empty = [t.name for t in model.tensors if 0 in t.shape]
    rows.append(("Without values", _some(empty)))
    said = [f"{other.tool}: {other.verdict}" for other in model.second_opinions]
    rows.append(("Second opinion", ", ".join(said)))
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        if value:
            table.add_row(Text(name, style="bold"), Text(plain(value), overflow="fold"))
    return table


def _architecture(guess: ArchitectureGuess) -> list[tuple[str, str]]:
    if not guess.names:
        lines = guess.reason.splitlines()
        return [("Architecture", line) for line in lines[:2]]
    by = " by the order of its shapes" if guess.matched_by == "order" else ""
    rows = [
        (
            "Architecture",
            f"{guess.names[0]}{by}, {guess.num_classes} classes, "
            f"{guess.in_channels} input {_plural('channel', guess.in_channels)}",
        )
    ]
    return [*rows, ("or", _some(guess.names[1:]))]


def _layers(layers: tuple[LayerInfo, ...]) -> Group:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Layer", overflow="fold")
    table.add_column("Values", justify="right")
    table.add_column("Type", overflow="fold")
    table.add_column("Tensors", overflow="fold")
    for layer in layers[:_MOST_ROWS]:
        table.add_row(
            Text(plain(layer.name)),
            f"{layer.parameters:,}",
            Text(_some(dict.fromkeys(tensor.dtype for tensor in layer.tensors))),
            Text(plain(_shapes(layer))),
        )
    return _cut(table, len(layers) - _MOST_ROWS, "layers")


def _globals(model: ScannedModel) -> Group:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("The pickle names", overflow="fold")
    table.add_column("Severity")
    for named in model.globals[:_MOST_ROWS]:
        style = _STYLES[named.severity]
        table.add_row(Text(plain(named.name)), Text(named.severity, style=style))
    return _cut(table, len(model.globals) - _MOST_ROWS, "names")


def _cut(table: Table, hidden: int, what: str) -> Group:
    if hidden <= 0:
        return Group(table)
    note = f"{hidden} more {what} are shown by --format json."
    return Group(table, Text(note, style="dim"))


def _shapes(layer: LayerInfo) -> str:
    """Write neighbors of one shape together: "weight, bias 16"."""
    groups = groupby(layer.tensors, key=lambda tensor: tensor.shape)
    return "; ".join(
        f"{_some(tensor.name.rpartition('.')[2] for tensor in tensors)} "
        f"{'x'.join(map(str, shape)) or 'scalar'}"
        for shape, tensors in islice(groups, _MOST_NAMES)
    )


def _plural(thing: str, count: int | None) -> str:
    return thing if count == 1 else f"{thing}s"


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _MOST_NAMES
    shown = ", ".join(listed[:_MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown
