"""Remove what the evidence shows, by the mildest means that suffice.

Channels are pruned where that alone takes the recovered triggers away within the
accuracy budget. What is left is repaired, until inversion finds nothing that reaches
the suspected class more easily than the others; other methods mend it otherwise, or
not at all. Then all witnesses are heard again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.channels import Channel
from rnp_cli.defense.distill import Distilled, distill
from rnp_cli.defense.prune import zeroed_rows
from rnp_cli.defense.repair import Repaired, repair
from rnp_cli.defense.rnp import Defended, DefenseConfig, defend
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.score import certain_loss
from rnp_cli.defense.unlearn import Unlearned
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Listener, StageDone, StageStarted
from rnp_cli.evidence.closing import (
    convicted_by_mistakes,
    convicted_by_triggers,
    still_speaks,
)
from rnp_cli.evidence.config import EvidenceConfig
from rnp_cli.evidence.contest import wave_followed
from rnp_cli.evidence.look import Evidence, look_again
from rnp_cli.evidence.recovered import RecoveredTrigger, estimated_success
from rnp_cli.evidence.remaining import Remaining
from rnp_cli.pipeline.request import Method
from rnp_cli.report.sanitization import Left, Outcome


@dataclass(frozen=True, eq=False)
class Removal:
    """What was done to the model, and what is left. model: the sanitized network.

    defended: None where nothing could be pruned. mended: how weights moved, if they
    did. first: the triggers that were to be taken away; newest: what is left of them;
    none of either where nothing was sought. evidence_after: None where the model was
    not looked at again. left: of the evidence.
    """

    outcome: Outcome
    model: nn.Module
    defended: Defended | None = None
    mended: Repaired | Distilled | None = None
    first: tuple[RecoveredTrigger, ...] = ()
    newest: tuple[RecoveredTrigger, ...] = ()
    evidence_after: Evidence | None = None
    left: tuple[Left, ...] = ()

    @property
    def pruned(self) -> tuple[Channel, ...]:
        """Return the channels that were cut in ``model``, not in a teacher of it."""
        if self.defended is None or isinstance(self.mended, Distilled):
            return ()
        return tuple(ranked.channel for ranked in self.defended.pruned)


@dataclass(frozen=True, eq=False)
class Escalation:
    """A model with what is known of it, and how it may be changed."""

    model: nn.Module
    samples: SplitSamples
    augmentation: Augmentation
    evidence: Evidence
    defense: DefenseConfig
    looking: EvidenceConfig
    seed: int
    listen: Listener

    def prune_within_budget(self) -> Removal:
        """Prune as far as the accuracy budget goes: the paper's own procedure.

        Raises DefenseFailed when a stage cannot do its work.
        """
        if isinstance(self.evidence.unlearned, DefenseFailed):
            raise self.evidence.unlearned
        defended = self._defend(self.evidence.unlearned, ())
        outcome: Outcome = "pruned" if defended.pruned else "no-safe-threshold"
        return Removal(outcome, defended.model, defended)

    def remove(self, method: Method = "rnp+repair") -> Removal:
        """Prune, mend what that leaves as ``method`` does, and look again.

        Raises DefenseFailed when a stage cannot do its work.
        """
        remaining = Remaining(
            self.evidence.suspected,
            self.evidence.verdict.target,
            self.model,
            self.samples,
            self.looking.inversion,
            self.looking.closing,
            seed=self.seed,
            source=self.evidence.verdict.source,
            is_told=self._is_told_by_triggers,
            wave=self._try_waves(),
        )
        defended = None
        if isinstance(self.evidence.unlearned, Unlearned) and self.evidence.layers:
            is_repaired = method == "rnp+repair"  # or else pruning has to suffice
            defended = self._defend(
                self.evidence.unlearned,
                remaining.first[:1] if is_repaired else (),
                is_adversarial=method == "anp",
            )
        mended = self._mend(method, defended, remaining)
        pruned = self.model if defended is None else defended.model
        model = pruned if mended is None else mended.model
        if not isinstance(mended, Repaired):
            remaining.recover(model, number=1)
        remaining.conclude(model)
        after = look_again(
            model,
            self.evidence,
            remaining.smallest(),
            self.samples,
            self.defense.unlearn,
            self.looking,
            augmentation=self.augmentation,
            seed=self.seed,
            listen=self.listen,
        )
        left = tuple(self.what_is_left(model, remaining, after))
        return Removal(
            "not-safe" if {*left} - {"asleep"} else _outcome(defended, mended),
            model,
            defended,
            mended,
            remaining.first,
            remaining.smallest(),
            after,
            left,
        )

    def _try_waves(self) -> RecoveredTrigger | None:
        """Return the wave that leads to the suspected class as a trigger would."""
        target, images = self.evidence.verdict.target, self.looking.closing.waves
        if target is None or not images:
            return None
        self.listen(StageStarted(stage="waves"))
        wave = wave_followed(
            self.model,
            self.samples,
            target,
            source=self.evidence.verdict.source,
            images_each=images,
            seed=self.seed,
        )
        if wave is not None and wave.success < self.looking.inversion.success:
            wave = None
        summary = "none leads" if wave is None else "one leads"
        self.listen(StageDone(stage="waves", summary=f"{summary} to class {target}"))
        return wave

    def _mend(
        self, method: Method, defended: Defended | None, remaining: Remaining
    ) -> Repaired | Distilled | None:
        """Move the weights, as far as the method does that at all."""
        if method == "rnp+repair":
            return self._repair(defended, remaining)
        if method != "nad" or defended is None or not defended.pruned:
            return None
        return distill(
            self.model,
            defended.model,
            self.samples,
            self.defense.distill,
            augmentation=self.augmentation,
            seed=self.seed,
            listen=self.listen,
        )

    def _repair(self, defended: Defended | None, remaining: Remaining) -> Repaired:
        rows = {}
        if defended is not None:
            channels = [r.channel for r in defended.pruned]
            rows = zeroed_rows(defended.layers, channels)
        return repair(
            self.model if defended is None else defended.model,
            self.model,
            self.samples,
            remaining,
            self.defense.repair,
            augmentation=self.augmentation,
            pruned=rows,
            seed=self.seed,
            listen=self.listen,
        )

    def what_is_left(
        self, model: nn.Module, remaining: Remaining, after: Evidence
    ) -> Iterator[Left]:
        """Say what of the evidence is left, or what else is wrong."""
        before, config = self.evidence.verdict, self.looking.verdict
        success = _success(model, remaining.first, self.samples)
        if not remaining.is_usual():
            yield "triggers"
        if self._works(success):
            yield "success"
        if still_speaks(before, after.verdict, config):
            yield "mistakes"
        elif after.label is None and self._needs_mistakes():
            yield "unheard"
        elif after.verdict.level == "strong":
            yield "asleep"
        lost = certain_loss(self.model, model, self.samples.holdout)
        if lost > self.defense.repair.max_accuracy_drop:
            yield "accuracy"

    def _needs_mistakes(self) -> bool:
        """Return whether the backdoor cannot count as gone unless mistakes say so."""
        before = self.evidence.verdict
        told = convicted_by_mistakes(before, self.looking.verdict)
        return told and not self._is_told_by_triggers

    @property
    def _is_told_by_triggers(self) -> bool:
        return convicted_by_triggers(self.evidence.verdict, self.looking.verdict)

    def judge_written(self, removal: Removal, written: nn.Module) -> Removal:
        """Try the first triggers on the network as it was rounded and written, too."""
        success = _success(written, removal.first, self.samples)
        if removal.outcome == "not-safe" or not self._works(success):
            return removal
        return replace(removal, outcome="not-safe", left=(*removal.left, "success"))

    def _works(self, success: float) -> bool:
        return success > self.looking.closing.success_left

    def _defend(
        self,
        unlearned: Unlearned,
        triggers: tuple[RecoveredTrigger, ...],
        *,
        is_adversarial: bool = False,
    ) -> Defended:
        success = partial(_success, triggers=triggers, samples=self.samples)
        return defend(
            self.model,
            self.samples,
            self.defense,
            augmentation=self.augmentation,
            unlearned=unlearned,
            success_of=success if triggers else None,
            is_adversarial=is_adversarial,
            seed=self.seed,
            listen=self.listen,
        )


def _success(
    model: nn.Module, triggers: tuple[RecoveredTrigger, ...], samples: SplitSamples
) -> float:
    """Return the share of held-out samples that the best of the triggers turns."""
    return max(
        (estimated_success(model, t, samples.holdout) for t in triggers), default=0.0
    )


def _outcome(defended: Defended | None, mended: Repaired | Distilled | None) -> Outcome:
    if isinstance(mended, Distilled):
        return "distilled"
    if mended is not None and mended.rounds:
        return "repaired"
    has_pruned = defended is not None and bool(defended.pruned)
    return "pruned" if has_pruned else "not-safe"
