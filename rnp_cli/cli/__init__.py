"""The command line: parse, call the pipeline, render."""

from __future__ import annotations

from rnp_cli.cli.guard import guarded_run

__all__ = ["main"]


def main() -> None:
    """Run ``rnp``; the exit code is one of ``rnp_cli.errors.ExitCode``."""
    guarded_run(_run)


def _run() -> None:
    from rnp_cli.cli.allocator import keep_freed_memory
    from rnp_cli.cli.app import app

    keep_freed_memory()
    app()
