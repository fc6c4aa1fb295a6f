"""Run many runs, each in a process of its own, some at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Protocol, TypeVar

import torch

R = TypeVar("R", covariant=True)
S = TypeVar("S")


class Work(Protocol[R]):
    """Something to do in a process of its own, which keeps what came of it."""

    def kept(self) -> R | None:
        """Return what an earlier process kept."""

    def perform(self, threads: int) -> None:
        """Do it and keep the result."""

    def died(self, code: int | None) -> R:
        """Return what to say of a process that kept nothing."""


def run_all(runs: Sequence[Work[S]], *, jobs: int) -> Iterator[S]:
    """Yield all results in order; those that are kept are not run again."""
    threads = max(1, torch.get_num_threads() // jobs)
    pool = ThreadPoolExecutor(jobs)
    try:
        yield from pool.map(partial(_result, threads=threads), runs)
    finally:
        pool.shutdown(cancel_futures=True)


def _result(run: Work[S], threads: int) -> S:
    kept = run.kept()
    if kept is not None:
        return kept
    process = get_context("spawn").Process(target=run.perform, args=(threads,))
    process.start()
    process.join()
    return run.kept() or run.died(process.exitcode)
