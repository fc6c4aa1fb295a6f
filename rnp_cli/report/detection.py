"""What ``rnp detect`` found, as data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field, model_validator

from rnp_cli.report.acceptance import Breach
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

Family = Literal["overlay", "addition", "warp"]
QUOTABLE = 0.1  # the p-value up to which a report quotes what a witness saw


class VerdictInfo(Part):
    """Whether there is evidence of a backdoor, and of which kind."""

    level: Literal["none", "weak", "strong"]
    kind: Literal["all-to-one", "all-to-all", "one-to-one"] | None
    target: int | None = Field(description="the class that the trigger leads to")
    source: int | None = Field(
        default=None, description="the one class that it leads from, if it is one"
    )
    family: Family = Field(description="of the trigger that stands out most")
    index: float = Field(
        description="how far it lies below the other classes' triggers, in their spread"
    )
    p_inversion: float
    p_label: float | None
    p_margin: float | None = None
    p_value: float = Field(description="of all witnesses together")

    @model_validator(mode="after")
    def _names_both_of_a_pair(self) -> Self:
        """Refuse a pair without its two classes, and a source without a pair."""
        is_pair = self.kind == "one-to-one"
        if is_pair != (self.source is not None) or (is_pair and self.target is None):
            raise ValueError("source and target must be set where kind is one-to-one")
        return self


class TriggerInfo(Part):
    """The smallest trigger that inversion found for a class."""

    target: int | None = Field(description="None: away from the true class")
    source: int | None = Field(default=None, description="None: all other classes")
    family: Family = Field(description="what it does to an image")
    norm: float = Field(
        description="overlay: sum of the mask, in pixels; addition: root mean square, "
        "a share of a pixel's range; warp: root mean square, in pixels"
    )
    success: float = Field(description="estimated attack success rate, on the holdout")
    found: bool


class MarginInfo(Part):
    """How far any input at all leads a class before all others."""

    target: int
    margin: float = Field(
        description="in standard deviations of the class's logit over the clean "
        "images; not above zero: no input was found that reaches the class"
    )


def hold_apart(
    verdict: VerdictInfo, triggers: Iterable[TriggerInfo], pairs: Iterable[TriggerInfo]
) -> None:
    """Raise ValueError where triggers of classes and of pairs are mixed."""
    if any(trigger.source is not None for trigger in triggers):
        raise ValueError("triggers must lead from all classes")
    if any(pair.source in (None, pair.target) for pair in pairs):
        raise ValueError("pairs must lead from one class to another")
    if any(pair.source != verdict.source for pair in pairs):
        raise ValueError("pairs must lead from the class that the verdict names")


class Detection(Part):
    """Everything that the search for a backdoor found."""

    schema_version: Literal[1] = 1
    tool_version: str
    torch_version: str
    device: str
    seed: int
    verdict: VerdictInfo
    model: ModelInfo
    input: InputInfo
    samples: SampleInfo
    accuracy: Accuracy
    label: TargetInfo | None = Field(
        description="where new mistakes go early in unlearning; None: not telling"
    )
    unlearn: UnlearnInfo | None
    unlearn_failure: str | None
    triggers: tuple[TriggerInfo, ...]
    pairs: tuple[TriggerInfo, ...] = Field(
        default=(),
        description="from the class whose images alone are turned to each other one",
    )
    margins: tuple[MarginInfo, ...] = Field(
        default=(), description="none where they could not be compared"
    )
    not_checked: tuple[str, ...]
    settings: dict[str, dict[str, float | int] | float]
    policy: tuple[str, ...] = Field(default=(), description="--fail-on")
    breaches: tuple[Breach, ...] = Field(
        default=(), description="evidence that --fail-on forbids, or that was accepted"
    )
    run: RunInfo

    @property
    def quoted(self) -> TriggerInfo | None:
        """The trigger that the verdict speaks of; None: it speaks of none."""
        verdict = self.verdict
        named = verdict.target is not None and verdict.p_inversion <= QUOTABLE
        if verdict.kind != "all-to-all" and not named:
            return None
        wanted = (verdict.family, verdict.source, verdict.target)
        for trigger in (*self.triggers, *self.pairs):
            if (trigger.family, trigger.source, trigger.target) == wanted:
                return trigger
        raise ValueError("triggers must hold the one that the verdict speaks of")

    @model_validator(mode="after")
    def _holds_what_is_shown(self) -> Self:
        """Refuse a verdict on a trigger that is not there, and classes without share.

        What a run writes has both; what was changed by hand may not.
        """
        _ = self.quoted
        hold_apart(self.verdict, self.triggers, self.pairs)
        if self.label is not None:
            named = (
                self.verdict.target,
                *(trigger.target for trigger in self.triggers),
                *(margin.target for margin in self.margins),
            )
            shares = range(len(self.label.shares))
            if any(target is not None and target not in shares for target in named):
                raise ValueError("label.shares must hold a share for each class")
        return self
