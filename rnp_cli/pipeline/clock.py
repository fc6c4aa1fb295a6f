"""How long a run and its stages took."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from rnp_cli.events import Event, Listener, StageDone, StageStarted
from rnp_cli.report.schema import RunInfo


class Clock:
    """Pass events on, and remember how long each stage took."""

    def __init__(self, listen: Listener) -> None:
        self._listen = listen
        self._began = time.perf_counter()
        self._date = datetime.now(UTC)
        self._stage_began: dict[str, float] = {}
        self._stages: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        now = time.perf_counter()
        if isinstance(event, StageStarted):
            self._stage_began[event.stage] = now
        if isinstance(event, StageDone):
            took = now - self._stage_began[event.stage]
            before = self._stages.get(event.stage, 0.0)  # a stage may come twice
            self._stages[event.stage] = round(before + took, 3)
        self._listen(event)

    def run(self, sources: Mapping[str, str]) -> RunInfo:
        """Return what was measured so far, and where options came from."""
        return RunInfo(
            started=self._date.isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - self._began, 3),
            stages=self._stages,
            sources=dict(sources),
        )
