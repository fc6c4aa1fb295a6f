"""A baseline as a method: from a loaded model to a loaded model."""

from __future__ import annotations

import time

import torch
from baselines import Baseline

from harness.method import Attempt, Task
from rnp_cli.defense.score import logits_of
from rnp_cli.errors import DefenseFailed


def attempt_baseline(baseline: Baseline, task: Task) -> Attempt:
    """Run a baseline on the loaded model; one that ends in NaN has failed."""
    device = torch.device(task.device)
    model = task.subject.network().to(device)
    torch.manual_seed(task.seed)  # dropout draws from the global generator
    start = time.perf_counter()
    try:
        samples = task.samples.to(device)
        defended = baseline(model, samples, seed=task.seed)
        if not bool(torch.isfinite(logits_of(defended, samples.images)).all()):
            raise DefenseFailed("The model ended in NaN.")
    except DefenseFailed as error:
        seconds = time.perf_counter() - start
        return Attempt(outcome=error.message, model=None, seconds=seconds)
    seconds = time.perf_counter() - start
    return Attempt(outcome="done", model=defended, seconds=seconds)
