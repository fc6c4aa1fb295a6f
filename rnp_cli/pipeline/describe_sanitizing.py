"""From what the stages found and did to the report of ``rnp sanitize``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import nn

from rnp_cli._version import __version__
from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.channels import has_batchnorm
from rnp_cli.defense.distill import Distilled
from rnp_cli.defense.rank import RankedChannel
from rnp_cli.defense.repair import Repaired
from rnp_cli.defense.rnp import Defended
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.threshold import Threshold
from rnp_cli.device import describe
from rnp_cli.evidence.label import label_evidence
from rnp_cli.evidence.look import Evidence
from rnp_cli.evidence.recovered import RecoveredTrigger, estimated_success
from rnp_cli.evidence.waves import AddedWave
from rnp_cli.pipeline.describe import (
    accuracy,
    doubts,
    input_info,
    label_info,
    margin_infos,
    model_info,
    pair_infos,
    sample_info,
    trigger_info,
    unheard,
    unlearned_info,
    verdict_info,
)
from rnp_cli.pipeline.escalate import Removal
from rnp_cli.pipeline.names import Names
from rnp_cli.pipeline.opening import OpenedModel
from rnp_cli.pipeline.portrait import portrait
from rnp_cli.pipeline.request import SanitizeRequest
from rnp_cli.report import sanitization
from rnp_cli.report.schema import RunInfo, TargetInfo

_NEXT = 20  # channels beyond the pruned ones that the report names


def make_report(
    request: SanitizeRequest,
    opened: OpenedModel,
    parts: SplitSamples,
    augmentation: Augmentation,
    evidence: Evidence,
    removal: Removal,
    written: nn.Module,
    run: RunInfo,
) -> sanitization.Report:
    """Measure before and after, and put everything into one record.

    written: the network as it is in the tensors that are written.
    """
    clean, after = opened.clean, removal.evidence_after
    unlearn, failure = unlearned_info(evidence.unlearned)
    return sanitization.Report(
        tool_version=__version__,
        torch_version=torch.__version__,
        device=describe(parts.fit.images.device),
        seed=request.seed,
        method=request.method,
        outcome=removal.outcome,
        verdict=verdict_info(evidence.verdict),
        verdict_after=None if after is None else verdict_info(after.verdict),
        model=model_info(
            request, opened.checkpoint, opened.architecture, evidence.layers
        ),
        input=input_info(clean),
        samples=sample_info(request, clean, parts, augmentation),
        accuracy_before=accuracy(clean.classifier, clean.samples),
        accuracy_after=accuracy(written, clean.samples),
        holdout_before=accuracy(clean.classifier, parts.holdout),
        holdout_after=accuracy(written, parts.holdout),
        max_accuracy_drop=request.defense.threshold.max_accuracy_drop,
        label=label_info(evidence.label),
        label_after=None if after is None else label_info(after.label),
        unlearn=unlearn,
        unlearn_failure=failure,
        unlearn_failure_after=None
        if after is None
        else unlearned_info(after.unlearned)[1],
        triggers=tuple(map(trigger_info, evidence.triggers)),
        pairs=pair_infos(evidence),
        margins=margin_infos(evidence.margins),
        tried=tuple(_tried(opened, parts, removal, written)),
        left=removal.left,
        pruning=None
        if removal.defended is None
        else _pruning(opened, removal.defended),
        repair=_repair(removal.mended),
        distillation=_distillation(removal.mended),
        outputs=(),
        not_checked=(
            *doubts(clean),
            *_not_checked(request, opened, evidence, removal),
        ),
        settings={
            **request.defense.model_dump(),
            **request.evidence.model_dump(),
        },
        run=run,
    )


def _tried(
    opened: OpenedModel, parts: SplitSamples, removal: Removal, written: nn.Module
) -> Iterator[sanitization.TriedTrigger]:
    newest = {trigger.family: trigger for trigger in removal.newest}
    for trigger in removal.first:
        wave = _cycles(trigger)
        left = newest.get(trigger.family) if wave is None else None
        yield sanitization.TriedTrigger(
            family=trigger.family,
            size=trigger.norm,
            success_before=estimated_success(
                opened.clean.classifier, trigger, parts.holdout
            ),
            success_after=estimated_success(written, trigger, parts.holdout),
            size_after=left.norm if left is not None and left.found else None,
            wave=wave,
            pictures=portrait(
                trigger,
                parts.holdout,
                parts.num_classes,
                opened.clean.classifier,
                written,
            ),
        )


def _cycles(trigger: RecoveredTrigger) -> tuple[int, int] | None:
    if not isinstance(trigger.change, AddedWave):
        return None
    return trigger.change.wave.down, trigger.change.wave.across


def _pruning(opened: OpenedModel, defended: Defended) -> sanitization.PruningInfo:
    names = Names(opened.architecture.key_map)
    threshold = defended.threshold
    favored = label_evidence(defended.unlearned.model, opened.clean.samples)
    count = len(defended.pruned)
    return sanitization.PruningInfo(
        target=TargetInfo(
            target=favored.target, share=favored.share, shares=favored.shares
        ),
        recover=defended.masks.history,
        threshold=threshold.mask if isinstance(threshold, Threshold) else None,
        path=tuple(
            sanitization.PathPoint(
                pruned=candidate.pruned,
                clean_accuracy=candidate.clean_accuracy,
                success=candidate.success,
            )
            for candidate in threshold.path
        ),
        pruned=_ranked(defended.pruned, names),
        next_in_rank=_ranked(defended.ranked[count : count + _NEXT], names),
    )


def _ranked(
    ranked: Iterable[RankedChannel], names: Names
) -> tuple[sanitization.RankedChannel, ...]:
    return tuple(
        sanitization.RankedChannel(
            rank=r.rank,
            layer=names.of_layer(r.channel.layer),
            channel=r.channel.index,
            mask=r.mask,
            score=r.change,
        )
        for r in ranked
    )


def _repair(mended: Repaired | Distilled | None) -> sanitization.RepairInfo | None:
    if not isinstance(mended, Repaired):
        return None
    return sanitization.RepairInfo(
        rounds=tuple(
            sanitization.RepairRound(
                triggers=done.triggers, clean_accuracy=done.clean_accuracy
            )
            for done in mended.rounds
        ),
        is_exhausted=mended.is_exhausted,
    )


def _distillation(
    mended: Repaired | Distilled | None,
) -> sanitization.DistillationInfo | None:
    if not isinstance(mended, Distilled):
        return None
    return sanitization.DistillationInfo(history=mended.history)


def _not_checked(
    request: SanitizeRequest,
    opened: OpenedModel,
    evidence: Evidence,
    removal: Removal,
) -> list[str]:
    architecture = opened.architecture
    notes = [
        "The attack success rate: no triggered image is known, so none was measured. "
        "What is called success is that of recovered triggers, an estimate; the "
        "attacker's own may do better.",
    ]
    if removal.outcome == "unchanged":
        notes.append(
            "Triggers that neither show as a change of any image, nor as a margin, nor "
            "draw mistakes while the model unlearns. No evidence is not proof that "
            "there is no backdoor; `--when always` prunes in any case."
        )
    if removal.evidence_after is None and removal.outcome == "pruned":
        notes.append(
            "Whether the backdoor is gone: that channels were pruned does not prove it."
        )
    notes += unheard(request.evidence, opened.clean.num_classes, evidence)
    if removal.outcome != "unchanged":
        notes.append(
            "Accuracy on images that had no part in the choice: what to change was "
            "chosen on these samples, and the intervals cover the sampling of images "
            "only."
        )
    if request.labels == "from-model":
        notes.append(
            "The labels: they are the model's own predictions, so that clean "
            "accuracy means agreement with the original model."
        )
    if architecture.matched_by == "order":
        notes.append(
            "The architecture by name: it was recognized by the order of its "
            "tensors' shapes, and by the clean accuracy that it gives."
        )
    if architecture.matched_by == "graph" and not has_batchnorm(evidence.layers):
        notes.append(
            "Whether BatchNorm was folded into the convolutions: the ONNX graph has "
            "none, as exporters make it by default, and without it backdoors are "
            "found less well. Prefer the PyTorch file, or an export that keeps it "
            "(training=TrainingMode.PRESERVE)."
        )
    return notes
