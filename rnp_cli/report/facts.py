"""What reports for a terminal have in common: the facts, and what was not checked."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from rnp_cli.report.plain import plain
from rnp_cli.report.schema import Accuracy, InputInfo, ModelInfo, SampleInfo

Fact = tuple[str, str]


def model_facts(model: ModelInfo, fed: InputInfo, samples: SampleInfo) -> list[Fact]:
    """Say what the model is, how it was fed, and with what."""
    return [
        (
            "Model",
            f"{model.file} ({model.format}), {model.architecture}, "
            f"{model.parameters:,} parameters",
        ),
        (
            "Input",
            f"{fed.channels}x{fed.size[0]}x{fed.size[1]}, {fed.convention}, "
            f"ends in {fed.output}",
        ),
        (
            "Clean samples",
            f"{samples.count} of {samples.num_classes} classes; "
            f"{samples.holdout} held out",
        ),
    ]


def interval(accuracy: Accuracy) -> str:
    """Write an accuracy with what is known of it."""
    return (
        f"{accuracy.value:.1%} ({accuracy.low:.1%} to {accuracy.high:.1%}, 95% "
        f"interval, {accuracy.samples} images)"
    )


def class_name(number: int, samples: SampleInfo) -> str:
    """Write a class with its name, where the folder names it."""
    names = samples.class_names
    name = names[number] if 0 <= number < len(names) else ""
    return f"class {number}" + (f" ({name})" if name and name != str(number) else "")


def facts_table(rows: Iterable[Fact]) -> Table:
    """Lay facts out, their names in bold."""
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(plain(value)))
    return table


def list_table(title: str) -> Table:
    """Begin a table of classes, channels or files under a title."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )


def only_in_json(hidden: int) -> str:
    """Say how many rows a table leaves out, to follow a sentence; nothing if none."""
    return f" {hidden} more are in the JSON." if hidden > 0 else ""


def not_checked(notes: Iterable[str]) -> Group:
    """List what nobody looked at."""
    lines = (Text(f"- {plain(note)}", style="dim") for note in notes)
    return Group(Text("Not checked", style="bold"), *lines)
