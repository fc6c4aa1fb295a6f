"""Errors to a panel and an exit code; bugs keep their traceback."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec

import typer

from rnp_cli.errors import ExitCode, RnpError

P = ParamSpec("P")
_PIPE_CLOSED = 141  # 128 + SIGPIPE
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Show an RnpError of ``command`` as a panel on stderr, with its exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except RnpError as error:
            show_error(error)
            raise typer.Exit(int(error.exit_code)) from error
        except BrokenPipeError:  # whoever read the output has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(_PIPE_CLOSED) from None
        except KeyboardInterrupt as interrupt:
            told = ("Interrupted.", *_notes(interrupt))
            sys.stderr.write("\n".join(told) + "\n")
            raise typer.Exit(_INTERRUPTED) from None

    return run


def guarded_run(app: Callable[[], object]) -> None:
    """Run the whole application; a bug ends in 2, never in 1, and says it is one."""
    try:
        app()
    except RnpError as error:  # of options, before any command runs
        if "--ci" in sys.argv:
            from rnp_cli.cli.ci import tell_error

            tell_error(error)
        show_error(error)
        sys.exit(error.exit_code)
    except Exception:  # noqa: BLE001 - the last resort, and it shows everything
        traceback.print_exc()
        sys.stderr.write("This is a bug in rnp: please report it with these lines.\n")
        sys.exit(ExitCode.ERROR)


def show_error(error: RnpError) -> None:
    """Print one panel: what happened, and what to do next."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    from rnp_cli.report.plain import plain

    text = Text("\n".join(map(plain, error.message.splitlines())))
    for more in filter(None, (*_notes(error), error.hint)):
        text.append("\n\n" + plain(more), style="dim")
    refused = error.exit_code is ExitCode.REFUSED
    title = "Input refused" if refused else "Error"
    Console(stderr=True).print(
        Panel(text, title=title, title_align="left", border_style="red")
    )


def _notes(error: BaseException) -> tuple[str, ...]:
    """Return what was added to an error on its way up."""
    return tuple(getattr(error, "__notes__", ()))
