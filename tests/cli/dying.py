"""A run of ``rnp`` that dies at a chosen moment, as by ``kill -9``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rnp_cli.cli import main
from rnp_cli.cli.progress import StageProgress
from rnp_cli.events import Event


def run_and_die(args: Sequence[str], folder: Path, kind: str, stage: str) -> None:
    """Run in ``folder`` until an event of this kind and stage; its log stays there."""
    import torch

    torch.set_num_threads(1)
    os.chdir(folder)
    show = StageProgress.__call__

    def show_and_die(progress: StageProgress, event: Event) -> None:
        show(progress, event)
        if (type(event).__name__, event.stage) == (kind, stage):
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    StageProgress.__call__ = show_and_die  # type: ignore[method-assign]
    _start(args)


def run_and_die_writing(args: Sequence[str], folder: Path) -> None:
    """Run in ``folder`` until the first file is on its way to the disk."""
    import torch

    torch.set_num_threads(1)
    os.chdir(folder)
    os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
    _start(args)


def _start(args: Sequence[str]) -> None:
    sys.argv = ["rnp", *args]
    with Path("log").open("w", encoding="utf-8") as log:
        sys.stderr = sys.stdout = log
        main()
