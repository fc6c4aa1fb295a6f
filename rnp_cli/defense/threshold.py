"""Threshold: how far down the ranking to prune, from clean accuracy alone.

The authors try fixed thresholds and read the attack success rate of each off a
triggered test set. A defender has none, so this chooser takes nothing that could
carry one: channels are pruned one after another, as long as clean accuracy stays within
the budget. Where triggers were recovered, the fewest channels without which these work
no more are the answer, since the channels after them cost accuracy for nothing; without
them it is the most that the budget allows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from rnp_cli.defense.rank import RankedChannel
from rnp_cli.events import Listener, StageDone, StageStarted, StepDone, ignore

STAGE = "prune"


class ThresholdConfig(BaseModel):
    """Knobs of the choice."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_accuracy_drop: float = Field(0.02, ge=0, lt=1)
    largest_mask: float = Field(0.9, gt=0, le=1)  # the authors' code goes this far
    patience: int = Field(8, ge=1)
    """How many candidates in a row, each with more channels pruned, may break the
    accuracy budget before the search ends."""
    success_left: float = Field(0.1, ge=0, le=1)
    """Where pruning stops early: when recovered triggers turn no more than this share
    of the clean images."""


@dataclass(frozen=True)
class Candidate:
    """So many channels pruned, and the clean accuracy on the holdout that is left.

    success: share of the holdout that recovered triggers still turn, an estimate; None
    where it was not measured.
    """

    pruned: int
    clean_accuracy: float
    success: float | None = None


@dataclass(frozen=True)
class Threshold:
    """How many channels to prune, and the mask value of the last."""

    pruned: int
    mask: float
    path: tuple[Candidate, ...]


@dataclass(frozen=True)
class NoSafeThreshold:
    """Pruning even the first channels breaks the budget, or takes no trigger away."""

    path: tuple[Candidate, ...]


def choose_threshold(
    ranked: Sequence[RankedChannel],
    accuracy_at: Callable[[int], float],
    config: ThresholdConfig,
    *,
    confirm: Callable[[int], bool] = lambda _pruned: True,
    listen: Listener = ignore,
) -> Threshold | NoSafeThreshold:
    """Choose how many channels of ``ranked`` to prune.

    accuracy_at: clean accuracy on the holdout with so many channels pruned.
    confirm: a second, dearer clean check that the chosen candidate must pass; a
    smaller one is tried where it fails.
    """
    most = sum(1 for r in ranked if r.mask <= config.largest_mask)
    listen(StageStarted(stage=STAGE, total=most))
    path = {0: accuracy_at(0)}
    least = path[0] - config.max_accuracy_drop - 1e-9

    def within(pruned: int) -> bool:
        if pruned not in path:
            path[pruned] = accuracy_at(pruned)
            step = StepDone(stage=STAGE, step=pruned, clean_accuracy=path[pruned])
            listen(step)
        return path[pruned] >= least

    pruned, broken = 0, 0
    while pruned < most and broken < config.patience:
        pruned = min(most, pruned + 1 + pruned // 16)
        broken = 0 if within(pruned) else broken + 1
    best = max(n for n in path if path[n] >= least)
    while best < most and best + 1 not in path and within(best + 1):
        best += 1
    safe = [n for n in sorted(path, reverse=True) if 0 < n <= best and within(n)]
    chosen = _first_confirmed(safe, confirm)
    tried = tuple(Candidate(n, path[n]) for n in sorted(path))
    if not chosen:
        listen(StageDone(stage=STAGE, summary="no safe threshold"))
        return NoSafeThreshold(tried)
    summary = (
        f"{chosen} of the channels, clean accuracy {path[0]:.1%} to {path[chosen]:.1%}"
    )
    listen(StageDone(stage=STAGE, summary=summary))
    return Threshold(chosen, ranked[chosen - 1].mask, tried)


def choose_fewest(
    ranked: Sequence[RankedChannel],
    accuracy_at: Callable[[int], float],
    success_at: Callable[[int], float],
    config: ThresholdConfig,
    *,
    confirm: Callable[[int], bool] = lambda _pruned: True,
    listen: Listener = ignore,
) -> Threshold | NoSafeThreshold:
    """Choose the fewest channels without which recovered triggers work no more.

    success_at: share of clean samples that the recovered triggers turn with so many
    channels pruned. The rest is as for ``choose_threshold``.
    """
    most = sum(1 for r in ranked if r.mask <= config.largest_mask)
    listen(StageStarted(stage=STAGE, total=most))
    path = [Candidate(0, accuracy_at(0))]
    least = path[0].clean_accuracy - config.max_accuracy_drop - 1e-9
    pruned, broken = 0, 0
    while pruned < most and broken < config.patience:
        pruned = min(most, pruned + 1 + pruned // 16)
        accuracy = accuracy_at(pruned)
        listen(StepDone(stage=STAGE, step=pruned, clean_accuracy=accuracy))
        if accuracy < least:
            path.append(Candidate(pruned, accuracy))
            broken += 1
            continue
        broken = 0
        success = success_at(pruned)
        path.append(Candidate(pruned, accuracy, success))
        if success <= config.success_left and confirm(pruned):
            summary = f"the recovered triggers fail without {pruned} of the channels"
            listen(StageDone(stage=STAGE, summary=summary))
            return Threshold(pruned, ranked[pruned - 1].mask, tuple(path))
    listen(StageDone(stage=STAGE, summary="no channels that are safe to prune do it"))
    return NoSafeThreshold(tuple(path))


def _first_confirmed(safe: Sequence[int], confirm: Callable[[int], bool]) -> int:
    """Go down from the largest, in steps that are small where the counts are."""
    tried = None
    for count in safe:
        if tried is not None and count > tried - 1 - tried // 16:
            continue
        if confirm(count):
            return count
        tried = count
    return 0
