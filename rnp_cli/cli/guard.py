"""Errors to a panel and an exit code; bugs keep their traceback."""

from __future__ import annotations

import errno
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
_REFUSALS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENAMETOOLONG,
    }
)


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Show an RnpError of ``command`` as a panel on stderr, with its exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        import typer

        try:
            try:
                command(*args, **kwargs)
            finally:  # or else it fails where nobody catches that
                _flush()
        except RnpError as error:
            _tell(error)
            raise typer.Exit(int(error.exit_code)) from error
        except BrokenPipeError:  # whoever read the output has gone
            _drop_output()
            raise typer.Exit(_PIPE_CLOSED) from None
        except EOFError as error:  # or else Click ends with 1, as if a policy failed
            raise RuntimeError("a file or stream ended early") from error
        except OSError as error:
            refused = _of_system(error)
            if refused is None:
                raise
            _tell(refused)
            raise typer.Exit(int(refused.exit_code)) from error
        except KeyboardInterrupt as interrupt:
            _tell_interrupt(interrupt)
            raise typer.Exit(_INTERRUPTED) from None

    return run


def guarded_run(app: Callable[[], object]) -> None:
    """Run the whole application; a bug ends in 2, never in 1, and says it is one."""
    if _is_job():
        ci.print_plainly()
    try:
        app()
    except SystemExit as ended:
        # Of options that do not parse: Typer shows it, and ends while it handles it.
        if isinstance(ended.__context__, BrokenPipeError):
            sys.exit(_PIPE_CLOSED)  # of --help, where Click says 1
        told = getattr(ended.__context__, "format_message", None)
        if _is_job() and told is not None:
            ci.tell_error(UsageError(told()))
        raise
    except RnpError as error:  # of options, before any command runs
        _tell(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt as interrupt:  # of imports, before any command runs
        _tell_interrupt(interrupt)
        sys.exit(_INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last resort, and shows everything
        refused = _of_system(error) if isinstance(error, OSError) else None
        if refused is not None:  # of --version and --help
            _tell(refused)
            sys.exit(refused.exit_code)
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


def _is_job() -> bool:
    """Whether this is one in continuous integration, however far it was parsed."""
    return "--ci" in sys.argv


def _tell(error: RnpError) -> None:
    """Show an error; a job has it as an annotation, too."""
    if _is_job():
        ci.tell_error(error)
    show_error(error)


def _of_system(error: OSError) -> RnpError | None:
    """Return what the user can act on: room, names and rights. The rest are bugs."""
    if error.errno not in _REFUSALS:
        return None
    why = error.strerror or str(error)
    if not _can_print():
        _drop_output()
        return RnpError(
            f"The output could not be written: {why}.",
            hint="Make room or send it to another place, and run again.",
        )
    if error.filename is None:
        return None
    return RnpError(
        f"{error.filename}: {why}.",
        hint="Choose another name or place, or make room there, and run again.",
    )


def _can_print() -> bool:
    try:
        _flush()
    except OSError:
        return False
    return True


def _flush() -> None:
    if sys.stdout is not None:  # as it is where the shell closed it
        sys.stdout.flush()


def _drop_output() -> None:
    """Lead it nowhere, or it fails once more when the program ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell_interrupt(interrupt: KeyboardInterrupt) -> None:
    told = ("Interrupted.", *_notes(interrupt))
    sys.stderr.write("\n".join(told) + "\n")


def _notes(error: BaseException) -> tuple[str, ...]:
    """Return what was added to an error on its way up."""
    return tuple(getattr(error, "__notes__", ()))
