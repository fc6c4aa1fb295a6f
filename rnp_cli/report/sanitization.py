"""What ``rnp sanitize`` found and did, as data.

Every format is made from this, and from it alone. The digest covers everything but
``run``, which holds what differs between two equal runs; so the same inputs, options
and seed give the same digest, until an acceptance among them expires.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from rnp_cli.report.acceptance import Breach
from rnp_cli.report.canonical import canonical_sha256
from rnp_cli.report.detection import (
    Family,
    MarginInfo,
    TriggerInfo,
    VerdictInfo,
    hold_apart,
)
from rnp_cli.report.pictures import TriggerPictures
from rnp_cli.report.schema import (
    Accuracy,
    InputInfo,
    ModelInfo,
    Part,
    RunInfo,
    SampleInfo,
    TargetInfo,
    UnlearnInfo,
)

Outcome = Literal[
    "unchanged", "pruned", "repaired", "distilled", "not-safe", "no-safe-threshold"
]

WITHOUT_MODEL: tuple[Outcome, ...] = ("not-safe", "no-safe-threshold")

Left = Literal["triggers", "success", "mistakes", "unheard", "accuracy", "asleep"]


class PathPoint(Part):
    """What is left with so many channels pruned."""

    pruned: int
    clean_accuracy: float = Field(description="on the holdout")
    success: float | None = Field(
        default=None, description="share that recovered triggers turn, an estimate"
    )


class RankedChannel(Part):
    """A channel and the evidence against it."""

    rank: int
    layer: str
    channel: int
    mask: float = Field(description="mask value after recovery, 0 to 1")
    score: float = Field(
        description="how far its weights moved while unlearning; the layer's mean is 1"
    )


class PruningInfo(Part):
    """How the channels to prune were chosen. No channel: none was safe or of use."""

    target: TargetInfo
    recover: tuple[float, ...] = Field(description="clean accuracy per epoch")
    threshold: float | None
    path: tuple[PathPoint, ...]
    pruned: tuple[RankedChannel, ...]
    next_in_rank: tuple[RankedChannel, ...] = Field(
        description="those that would have been pruned next"
    )


class RepairRound(Part):
    """One round: triggers recovered, then weights fitted against all so far."""

    triggers: int
    clean_accuracy: float = Field(description="on the holdout, after the round")


class RepairInfo(Part):
    """How weights were moved; is_exhausted: nothing was left to recover."""

    rounds: tuple[RepairRound, ...]
    is_exhausted: bool


class DistillationInfo(Part):
    """How the original learned where the pruned model looks."""

    history: tuple[float, ...] = Field(
        description="clean accuracy on the holdout per epoch"
    )


class TriedTrigger(Part):
    """A trigger of the suspected class, on the model as it came and as it is written.

    success: estimated attack success rates. size_after: of the smallest of its family
    that the sanitized model still follows; None where none was found or looked for,
    and for a wave.
    """

    family: Family
    size: float
    success_before: float
    success_after: float
    size_after: float | None
    wave: tuple[int, int] | None = Field(
        default=None,
        description="of one that was tried, not recovered: its cycles from top to "
        "bottom and from left to right, negative from right to left",
    )
    pictures: TriggerPictures | None = None


class OutputInfo(Part):
    """One file that the sanitized model was written to."""

    file: str
    format: str
    opset: int | None = Field(default=None, description="of an ONNX file")
    tensors_sha256: str = Field(
        description="of names, shapes, types and values of all tensors in the file, "
        "as safetensors without metadata has them"
    )


class CompactionInfo(Part):
    """What leaving pruned channels out came to; flops: of one image."""

    pruned: int
    removed: int
    parameters_before: int
    parameters_after: int
    flops_before: int
    flops_after: int


_LATER = {"sha256", "pairs", "source", "margins", "p_margin", "wave"}  # in any part


class Report(Part):
    """Everything that a run found and did."""

    schema_version: Literal[1] = 1
    tool_version: str
    torch_version: str
    device: str
    seed: int
    method: str = Field(default="rnp+repair", description="as asked for")
    outcome: Outcome
    verdict: VerdictInfo
    verdict_after: VerdictInfo | None = Field(
        description="of the sanitized model, where something was changed on evidence"
    )
    model: ModelInfo
    input: InputInfo
    samples: SampleInfo
    accuracy_before: Accuracy
    accuracy_after: Accuracy
    holdout_before: Accuracy
    holdout_after: Accuracy
    max_accuracy_drop: float
    label: TargetInfo | None = Field(
        description="where new mistakes go early in unlearning; None: not telling"
    )
    label_after: TargetInfo | None
    unlearn: UnlearnInfo | None
    unlearn_failure: str | None
    unlearn_failure_after: str | None = None
    triggers: tuple[TriggerInfo, ...]
    pairs: tuple[TriggerInfo, ...] = Field(
        default=(),
        description="from the class whose images alone are turned to each other one",
    )
    margins: tuple[MarginInfo, ...] = Field(
        default=(), description="none where they could not be compared"
    )
    tried: tuple[TriedTrigger, ...]
    left: tuple[Left, ...] = Field(
        default=(),
        description="of the evidence, at the end; triggers: the suspected class is "
        "easier to reach than others, with all images or with half of them; "
        "success: its first triggers still work; "
        "mistakes: what convicted the model still does; unheard: it was unlearning, "
        "which says nothing now; accuracy: the repair cost too much of it; asleep: "
        "unlearning still sends mistakes there, or a margin stands out, but no trigger "
        "leads there",
    )
    pruning: PruningInfo | None
    repair: RepairInfo | None
    distillation: DistillationInfo | None = None
    outputs: tuple[OutputInfo, ...] = Field(description="none: no model was written")
    compaction: CompactionInfo | None = Field(
        default=None, description="where it was asked for"
    )
    not_checked: tuple[str, ...]
    settings: dict[str, dict[str, float | int] | float]
    policy: tuple[str, ...] = Field(default=(), description="rules of --fail-on")
    breaches: tuple[Breach, ...] = Field(
        default=(), description="of the policy; those that were accepted are marked"
    )
    run: RunInfo

    @property
    def pruned(self) -> tuple[RankedChannel, ...]:
        """The channels that were cut in the sanitized model.

        Those of a teacher, which the sanitized model only learned from, are not.
        """
        if self.pruning is None or self.distillation is not None:
            return ()
        return self.pruning.pruned

    @property
    def rounds(self) -> int:
        """How many rounds of repair there were."""
        return 0 if self.repair is None else len(self.repair.rounds)

    @property
    def success(self) -> tuple[float, float] | None:
        """Estimated ASR of the best of the tried triggers, before and after."""
        if not self.tried:
            return None
        return (
            max(trigger.success_before for trigger in self.tried),
            max(trigger.success_after for trigger in self.tried),
        )

    @model_validator(mode="after")
    def _keeps_pairs_apart(self) -> Self:
        """Refuse triggers of classes among those of pairs, and the other way round."""
        hold_apart(self.verdict, self.triggers, self.pairs)
        return self

    def digest(self) -> str:
        """SHA-256 over everything but ``run``, as canonical JSON.

        A report from before the clean images were digested, or pairs of classes,
        margins and waves were known, keeps the one that it had.
        """
        content = self.model_dump(mode="json", exclude={"run"})
        verdicts = [content["verdict"], content["verdict_after"]]
        triggers = [*content["triggers"], *content["tried"]]
        for part in (content, content["samples"], *verdicts, *triggers):
            for later in _LATER & (part or {}).keys():
                if part[later] in (None, []):
                    del part[later]
        return canonical_sha256(content)
