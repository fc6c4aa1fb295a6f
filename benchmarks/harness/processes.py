"""Run many runs, each in a process of its own, some at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch

from harness.result import Result
from harness.run import Run


def run_all(runs: Sequence[Run], *, jobs: int) -> Iterator[Result]:
    """Yield all results in order; those that are kept are not run again."""
    threads = max(1, torch.get_num_threads() // jobs)
    pool = ThreadPoolExecutor(jobs)
    try:
        yield from pool.map(partial(_result, threads=threads), runs)
    finally:
        pool.shutdown(cancel_futures=True)


def _result(run: Run, threads: int) -> Result:
    kept = run.kept()
    if kept is not None:
        return kept
    process = get_context("spawn").Process(target=run.perform, args=(threads,))
    process.start()
    process.join()
    return run.kept() or run.died(process.exitcode)
