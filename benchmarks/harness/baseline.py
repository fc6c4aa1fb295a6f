"""A baseline as a method: from a loaded model to a loaded model.

On the CPU it computes its convolutions in bfloat16 and channels-last, which takes a
third of the time; weights, masks and statistics stay in float32, and what it gives is
measured in float32. Beside float32, on eight models of the zoo with one seed,
fine-tuning, fine-pruning and NAD end within half a point of CA and ASR. ANP, whose
masks hang on each step, moves by up to three points of CA and forty of ASR, either way.
"""

from __future__ import annotations

import time

import torch
from baselines import Baseline
from torch import Tensor

from harness.method import Attempt, Task
from rnp_cli.defense.score import logits_of
from rnp_cli.errors import DefenseFailed


def attempt_baseline(baseline: Baseline, task: Task) -> Attempt:
    """Run a baseline on the loaded model; one that ends in NaN has failed."""
    device = torch.device(task.device)
    model = (
        task.subject.network().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    )
    model.register_forward_hook(_in_float32)
    torch.manual_seed(task.seed)  # dropout draws from the global generator
    start = time.perf_counter()
    try:
        samples = task.samples.to(device)
        with torch.autocast(
            device.type,
            torch.bfloat16,
            enabled=device.type == "cpu",
            cache_enabled=False,  # or else weights stay as they were at the first step
        ):
            defended = baseline(model, samples, seed=task.seed)
        if not bool(torch.isfinite(logits_of(defended, samples.images)).all()):
            raise DefenseFailed("The model ended in NaN.")
    except DefenseFailed as error:
        seconds = time.perf_counter() - start
        return Attempt(outcome=error.message, model=None, seconds=seconds)
    seconds = time.perf_counter() - start
    return Attempt(outcome="done", model=defended, seconds=seconds)


def _in_float32(_model: object, _inputs: object, logits: Tensor) -> Tensor:
    return logits.float()
