"""Look for a backdoor in one checkpoint, and change nothing."""

from __future__ import annotations

from functools import partial

import torch
from pydantic import Field

from rnp_cli._version import __version__
from rnp_cli.data.classifier import Classifier
from rnp_cli.defense.augment import Augmentation, bearable_augmentation
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.defense.unlearn import UnlearnConfig
from rnp_cli.device import describe, reproducible, suitable_threads
from rnp_cli.events import Listener, ignore
from rnp_cli.evidence.config import EvidenceConfig
from rnp_cli.evidence.look import Evidence, look
from rnp_cli.pipeline.clock import Clock
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
from rnp_cli.pipeline.memory import within_cpu_memory, within_gpu_memory
from rnp_cli.pipeline.opening import OpenedModel, read_model, with_samples
from rnp_cli.pipeline.request import ModelRequest
from rnp_cli.report.detection import Detection


class DetectRequest(ModelRequest):
    """Where to look, and how hard.

    hear_all: recover triggers also where the other witnesses are strong evidence.
    """

    hear_all: bool = False
    holdout_share: float = Field(0.3, gt=0, lt=1)
    unlearn: UnlearnConfig = UnlearnConfig()
    evidence: EvidenceConfig = EvidenceConfig()


def detect(request: DetectRequest, *, listen: Listener = ignore) -> Detection:
    """Say whether there is evidence of a backdoor, and of which.

    Raises an RnpError with its exit code for bad input, and DefenseFailed when no
    witness has anything to say. Nothing is written.
    """
    clock = Clock(listen)
    read = read_model(request, clock)
    with reproducible():
        opened = with_samples(read, request, clock)
        image = opened.clean.samples.images[:1]
        with suitable_threads(opened.clean.classifier, image):
            model = opened.working()
            request = within_cpu_memory(request, model, image, clock)
            work = partial(_detect, opened=opened, model=model, clock=clock)
            return within_gpu_memory(work, request, clock)


def _detect(
    request: DetectRequest, opened: OpenedModel, model: Classifier, clock: Clock
) -> Detection:
    parts = opened.split(request.holdout_share, seed=request.seed)
    augmentation = bearable_augmentation(model, parts.fit, seed=request.seed)
    evidence = look(
        model,
        parts,
        request.unlearn,
        request.evidence,
        augmentation=augmentation,
        seed=request.seed,
        hear_all=request.hear_all,
        listen=clock,
    )
    return _detection(request, opened, parts, augmentation, evidence, clock)


def _detection(
    request: DetectRequest,
    opened: OpenedModel,
    parts: SplitSamples,
    augmentation: Augmentation,
    evidence: Evidence,
    clock: Clock,
) -> Detection:
    clean = opened.clean
    unlearn, failure = unlearned_info(evidence.unlearned)
    return Detection(
        tool_version=__version__,
        torch_version=torch.__version__,
        device=describe(parts.fit.images.device),
        seed=request.seed,
        verdict=verdict_info(evidence.verdict),
        model=model_info(
            request, opened.checkpoint, opened.architecture, evidence.layers
        ),
        input=input_info(clean),
        samples=sample_info(request, clean, parts, augmentation),
        accuracy=accuracy(clean.classifier, clean.samples),
        label=label_info(evidence.label),
        unlearn=unlearn,
        unlearn_failure=failure,
        triggers=tuple(map(trigger_info, evidence.triggers)),
        pairs=pair_infos(evidence),
        margins=margin_infos(evidence.margins),
        not_checked=(
            *doubts(clean),
            *_not_checked(request, clean.num_classes, evidence),
        ),
        settings={
            "unlearn": request.unlearn.model_dump(),
            **request.evidence.model_dump(exclude={"closing"}),
        },
        run=clock.run(request.sources),
    )


def _not_checked(
    request: DetectRequest, num_classes: int, evidence: Evidence
) -> list[str]:
    notes = [
        "Triggers that neither show as a change of any image, nor as a margin, nor "
        "draw mistakes while the model unlearns. No evidence is not proof that there "
        "is no backdoor.",
        "The attack success rate: no triggered image is known. What is called success "
        "here is that of the recovered trigger, an estimate.",
    ]
    if not evidence.triggers:
        notes.append(
            "What a trigger looks like, and how small one may be: margins and where "
            "mistakes go are strong evidence without. `--hear-all` recovers triggers "
            "all the same, and `rnp trigger` shows them."
        )
    notes += unheard(request.evidence, num_classes, evidence)
    if request.labels == "from-model":
        notes.append("The labels: they are the model's own predictions.")
    return notes
