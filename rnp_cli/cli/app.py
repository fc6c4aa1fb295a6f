"""The command table."""

from __future__ import annotations

from typing import Annotated

import typer

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


app.command(epilog=EXIT_CODES)(sanitize)
app.command(epilog=EXIT_CODES)(detect)
app.command(epilog=EXIT_CODES)(trigger)
app.command("filter", epilog=EXIT_CODES)(filter_images)
app.command(epilog=EXIT_CODES)(inspect)
app.command(epilog=EXIT_CODES)(verify)
app.command(epilog=EXIT_CODES)(scan)
app.command(epilog=EXIT_CODES)(schema)
