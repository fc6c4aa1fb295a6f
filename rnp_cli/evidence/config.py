"""The knobs of what tells a backdoor, and when one counts as gone."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from rnp_cli.evidence.inversion import InversionConfig
from rnp_cli.evidence.margin import MarginConfig
from rnp_cli.evidence.verdict import VerdictConfig


class ClosingConfig(BaseModel):
    """When a family of triggers is pursued, and how far."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    easier: float = Field(0.8, gt=0)
    """Which families of triggers (patterns, additions, warps) the repair pursues: those
    whose trigger for the suspected class is at most so large beside the median of the
    other classes' triggers."""
    easier_blind: float = Field(0.5, gt=0)
    """How small the smallest must be beside that median where not triggers but other
    witnesses had named the class: then all that are easier are pursued, and where none
    is so small all families."""
    harder: float = Field(2.0, gt=0)
    """When a family is done with: when that trigger has grown to so many times that
    median, or half way from it to the largest there is."""
    harder_blind: float = Field(3.0, gt=0)
    """The same where not triggers but other witnesses had named the class: the
    attacker's may be no smaller than usual then."""
    attempts: int = Field(2, ge=1)
    """Attempts at a trigger of each family in each round: one alone may miss a small
    one."""
    nearby: int = Field(3, ge=0)
    """More attempts at a patch in each round, around those that were found before."""
    last_nearby: int = Field(6, ge=0)
    """The same, before nothing counts as left. They need to turn fewer images: what is
    left of a patch may work on some images only."""
    squares: int = Field(8, ge=0, le=100)
    """Images that squares of one colour and checkerboards are tried on, in the corners
    and near the smallest patch that was found, before nothing counts as left, without
    gradients; 0 leaves that out. The best are changed field by field, and what leads to
    the suspected class as nothing leads to another is unlearned."""
    waves: int = Field(8, ge=0, le=100)
    """Images that faint gray waves over the whole image are tried on, on the model as
    it came, without gradients; 0 leaves that out. One that turns as many of those held
    out as a trigger has to turn, to the suspected class as no wave does to another, is
    unlearned in every round of a repair, and has to be gone after any method."""
    few: int = Field(200, ge=0)
    """Where a repair is fitted to fewer samples, those that are held out are searched,
    too; with more that would take twice the time."""
    partly: float = Field(0.5, gt=0, le=1)
    """Share of images that these last attempts have to turn."""
    usual: float = Field(1.0, gt=0)
    """How large the suspected class's trigger must be at least, beside that median, for
    the result to count as safe when the rounds are over; and for what turns part of the
    images to be pursued no more."""
    success_left: float = Field(0.2, ge=0, le=1)
    """Share of clean images that the triggers found in the model as it came, or squares
    that lead there as to no other class, may still turn for the result to be safe."""


class EvidenceConfig(BaseModel):
    """The knobs of what tells a backdoor.

    unlearnings: how often the model unlearns to hear where its mistakes go, unless
    there is strong evidence at once; the first goes all the way, the others half.
    most_classes: triggers are recovered, and margins searched, for at most so many
    classes, those first that draw the most mistakes while the model unlearns.
    most_paired: of at most so many classes triggers are recovered for each pair, where
    nothing else shows a backdoor and mistakes tell nothing; the cost grows with its
    square.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    unlearnings: int = Field(3, ge=1)
    most_classes: int = Field(50, ge=2)
    most_paired: int = Field(12, ge=0)
    inversion: InversionConfig = InversionConfig()
    margin: MarginConfig = MarginConfig()
    verdict: VerdictConfig = VerdictConfig()
    closing: ClosingConfig = ClosingConfig()
