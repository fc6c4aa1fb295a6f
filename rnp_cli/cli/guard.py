"""Errors to a panel and an exit code; bugs keep their traceback."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec

from rnp_cli.cli import ci
from rnp_cli.errors import ExitCode, RnpError, UsageError

P = ParamSpec("P")
_PIPE_CLOSED = 141  # 128 + SIGPIPE
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Show an RnpError of ``command`` as a panel on stderr, with its exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        import typer

        try:
            command(*args, **kwargs)
            sys.stdout.flush()  # or else it fails where nobody catches that
        except RnpError as error:
            show_error(error)
            raise typer.Exit(int(error.exit_code)) from error
        except BrokenPipeError:  # whoever read the output has gone
            _drop_output()
            raise typer.Exit(_PIPE_CLOSED) from None
        except OSError as error:
            if error.errno is None:
                raise
            show_error(_of_system(error))
            raise typer.Exit(int(ExitCode.ERROR)) from error
        except KeyboardInterrupt as interrupt:
            _tell_interrupt(interrupt)
            raise typer.Exit(_INTERRUPTED) from None

    return run


def guarded_run(app: Callable[[], object]) -> None:
    """Run the whole application; a bug ends in 2, never in 1, and says it is one."""
    is_job = "--ci" in sys.argv
    if is_job:
        ci.print_plainly()
    try:
        app()
    except SystemExit as ended:
        # Of options that do not parse: Typer shows it, and ends while it handles it.
        told = getattr(ended.__context__, "format_message", None)
        if is_job and told is not None:
            ci.tell_error(UsageError(told()))
        raise
    except RnpError as error:  # of options, before any command runs
        if is_job:
            ci.tell_error(error)
        show_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt as interrupt:  # of imports, before any command runs
        _tell_interrupt(interrupt)
        sys.exit(_INTERRUPTED)
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


def _of_system(error: OSError) -> UsageError:
    """Say what the system refused: a name, a right, or room."""
    if not _can_print():
        _drop_output()
    where = "The output" if error.filename is None else str(error.filename)
    return UsageError(
        f"{where}: {error.strerror}.",
        hint="Look at the name, the rights and the room there.",
    )


def _can_print() -> bool:
    try:
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _drop_output() -> None:
    """Lead it nowhere, or it fails once more when the program ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell_interrupt(interrupt: KeyboardInterrupt) -> None:
    told = ("Interrupted.", *_notes(interrupt))
    sys.stderr.write("\n".join(told) + "\n")


def _notes(error: BaseException) -> tuple[str, ...]:
    """Return what was added to an error on its way up."""
    return tuple(getattr(error, "__notes__", ()))
