"""Progress of the stages, on stderr."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from rnp_cli.events import Event, StageDone, StageStarted, StepDone

WORDS = {
    "read": "Read the checkpoint",
    "read-sibling": "Read the sanitized file",
    "samples": "Load clean samples",
    "memory": "Fit batches into the memory",
    "unlearn": "Unlearn the clean skill",
    "mistakes": "Unlearn again, to hear where mistakes go",
    "margin": "Search maximum margins",
    "invert": "Recover triggers",
    "waves": "Try waves over the whole image",
    "recover": "Recover channel masks",
    "adversarial": "Fit the masks against an adversary",
    "prune": "Choose what to prune",
    "repair": "Repair against recovered triggers",
    "distill": "Distill the pruned model into the original",
    "rehearse": "Try the export",
    "export": "Export the network",
    "write": "Write, and check what was written",
    "score": "Score the suspects",
}
AGAIN = {
    "unlearn": "Look again: unlearn the sanitized model",
    "margin": "Look again: search its maximum margins",
    "mistakes": "Look again: unlearn it more often, to hear where mistakes go",
}


class StageProgress:
    """A listener that draws one line per stage, and keeps it when the stage ends.

    Without a terminal it prints only the lines of finished stages.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[accuracy]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_interactive,
        )
        self._task: TaskID | None = None
        self._is_changed = False

    def __enter__(self) -> StageProgress:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case StageStarted(stage=stage, total=total):
                if self._task is not None:  # of a stage that was broken off
                    self._progress.remove_task(self._task)
                self._is_changed &= stage != "memory"  # which begins the work anew
                self._task = self._progress.add_task(
                    self._named(stage), total=total, accuracy=""
                )
            case StepDone(step=step, clean_accuracy=accuracy) if self._task is not None:
                known = "" if accuracy is None else f"clean accuracy {accuracy:6.1%}"
                self._progress.update(self._task, completed=step, accuracy=known)
            case StageDone(stage=stage, summary=summary):
                if self._task is not None:
                    self._progress.remove_task(self._task)
                self._task = None
                name = f"{self._named(stage)}: "
                line = Text.assemble(("✓ ", "green"), (name, "bold"), summary)
                self._console.print(line, soft_wrap=True)
                self._is_changed |= stage == "prune"

    def _named(self, stage: str) -> str:
        if stage in AGAIN and self._is_changed:
            return AGAIN[stage]
        return WORDS[stage]
