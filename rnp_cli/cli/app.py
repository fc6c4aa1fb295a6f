"""The command table."""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand

from rnp_cli._version import __version__
from rnp_cli.cli.detect import detect
from rnp_cli.cli.filter import filter_images
from rnp_cli.cli.inspect import inspect
from rnp_cli.cli.sanitize import sanitize
from rnp_cli.cli.scan import scan
from rnp_cli.cli.schema import schema
from rnp_cli.cli.trigger import trigger
from rnp_cli.cli.verify import verify

EXIT_CODES = (
    "Exit codes: 0 done and within policy; 1 the policy failed: the model could not "
    "be made safe within the accuracy budget, or seems to have a backdoor, or files do "
    "not agree; 2 usage or tool error; 3 input refused."
)


class _Command(TyperCommand):
    """Names arguments as the pages do; flags take nothing, and no "bool"."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for param in self.params:
            if isinstance(param, TyperArgument):
                param.metavar = param.metavar or str(param.name).upper()
            elif getattr(param, "is_flag", False):
                param.metavar = ""


app = typer.Typer(
    name="rnp",
    help="Remove backdoors from neural networks with a few hundred clean images.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rnp {__version__}")
        raise typer.Exit


@app.callback()
def rnp(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Remove backdoors from neural networks with a few hundred clean images."""


def _add(command: Callable[..., None], name: str | None = None) -> None:
    """Add a command, its help in paragraphs: Typer keeps the line breaks of code."""
    paragraphs = cleandoc(command.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(name, cls=_Command, help=text, epilog=EXIT_CODES)(command)


_add(sanitize)
_add(detect)
_add(trigger)
_add(filter_images, "filter")
_add(inspect)
_add(verify)
_add(scan)
_add(schema)
