from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_nets import CORNERS, corner_net, corners, shows_wave, trained
from torch import Tensor, nn

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.rnp import DefenseConfig
from rnp_cli.defense.samples import SplitSamples
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Event, StageDone, ignore
from rnp_cli.evidence.config import ClosingConfig, EvidenceConfig
from rnp_cli.evidence.inversion import InversionConfig
from rnp_cli.evidence.label import LabelEvidence
from rnp_cli.evidence.look import Evidence
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.remaining import Remaining
from rnp_cli.evidence.triggers.addition import Addition
from rnp_cli.evidence.triggers.overlay import Overlay
from rnp_cli.evidence.verdict import Level, Verdict
from rnp_cli.evidence.waves import AddedWave
from rnp_cli.pipeline.escalate import Escalation, Removal

TARGET = 2
LABEL = LabelEvidence(TARGET, 0.9, (0.0, 0.0, 0.9, 0.1), 50)


class Collapsed(nn.Module):
    """Answers one class whatever it sees."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.eye(CORNERS)[TARGET].expand(len(images), -1)


@pytest.fixture(scope="module")
def samples() -> SplitSamples:
    return SplitSamples(
        fit=corners(64, seed=0), holdout=corners(64, seed=1), num_classes=CORNERS
    )


@pytest.fixture(scope="module")
def skilled() -> nn.Module:
    return trained(corner_net(), corners(256, seed=3), epochs=2)


def evidence(
    *,
    p_inversion: float,
    p_label: float = 1e-6,
    level: Level = "strong",
    label: LabelEvidence | None = LABEL,
) -> Evidence:
    verdict = Verdict(
        level, "all-to-one", TARGET, "overlay", 5.0, p_inversion, p_label, 1e-6
    )
    return Evidence((), DefenseFailed("Not here."), label, (), verdict)


def first_trigger() -> RecoveredTrigger:
    """A single pixel, which turns no image on a sound network."""
    mask = torch.zeros(1, 8, 8)
    mask[0, 0, 0] = 1
    return RecoveredTrigger(TARGET, Overlay(mask, mask.clone()), 1.0, 1.0, True)


def escalation(model: nn.Module, samples: SplitSamples, before: Evidence) -> Escalation:
    return Escalation(
        model,
        samples,
        Augmentation(),
        before,
        DefenseConfig(),
        EvidenceConfig(),
        0,
        ignore,
    )


def what_is_left(
    model: nn.Module,
    samples: SplitSamples,
    before: Evidence,
    after: Evidence,
    *,
    now: nn.Module | None = None,
) -> list[str]:
    quick, closing = InversionConfig(steps=1), ClosingConfig()
    none = Remaining((), TARGET, model, samples, quick, closing, seed=0)
    work = escalation(model, samples, before)
    return [*work.what_is_left(now or model, none, after)]


SEEN, UNSEEN = 1e-6, 1.0


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        (
            evidence(p_inversion=SEEN),
            evidence(p_inversion=UNSEEN, level="none"),
            [],
        ),
        (evidence(p_inversion=SEEN), evidence(p_inversion=UNSEEN), ["asleep"]),
        (evidence(p_inversion=SEEN), evidence(p_inversion=SEEN), ["mistakes"]),
        (evidence(p_inversion=UNSEEN), evidence(p_inversion=UNSEEN), ["mistakes"]),
        (
            evidence(p_inversion=UNSEEN),
            evidence(p_inversion=UNSEEN, level="none", label=None),
            ["unheard"],
        ),
        (
            evidence(p_inversion=UNSEEN, p_label=0.9),  # by its margin
            evidence(p_inversion=UNSEEN, level="none", label=None),
            [],
        ),
        (
            evidence(p_inversion=SEEN),
            evidence(p_inversion=UNSEEN, level="none", label=None),
            [],
        ),
    ],
)
def test_what_had_convicted_must_be_heard_and_silent(
    skilled: nn.Module,
    samples: SplitSamples,
    before: Evidence,
    after: Evidence,
    left: list[str],
) -> None:
    assert what_is_left(skilled, samples, before, after) == left


def test_a_network_that_lost_its_skill_is_not_repaired(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    before = evidence(p_inversion=SEEN)
    after = evidence(p_inversion=UNSEEN, level="none")

    left = what_is_left(skilled, samples, before, after, now=Collapsed())

    assert left == ["accuracy"]


@pytest.mark.parametrize("works", [True, False])
def test_a_trigger_that_works_on_the_written_network_is_told(
    skilled: nn.Module, samples: SplitSamples, works: bool
) -> None:
    work = escalation(skilled, samples, evidence(p_inversion=SEEN))
    trigger = first_trigger()
    removal = Removal("repaired", skilled, first=(trigger,))
    written = Collapsed() if works else skilled

    judged = work.judge_written(removal, written)

    said = ("not-safe", ("success",)) if works else ("repaired", ())
    assert (judged.outcome, judged.left) == said


@pytest.mark.parametrize(
    ("p_inversion", "families"),
    [(SEEN, ["overlay"]), (UNSEEN, ["overlay", "addition"])],
)
def test_all_families_are_pursued_where_triggers_had_not_convicted(
    skilled: nn.Module, samples: SplitSamples, p_inversion: float, families: list[str]
) -> None:
    large = Addition(torch.full((1, 8, 8), 0.5))
    patch = first_trigger().change
    triggers = [
        RecoveredTrigger(target, change, norm, 1.0, True)
        for change, others, own in ((patch, 30.0, 20.0), (large, 0.5, 0.5))
        for target, norm in ((0, others), (1, others), (TARGET, own))
    ]
    before = replace(evidence(p_inversion=p_inversion), triggers=tuple(triggers))
    work = escalation(skilled, samples, before)
    quick = EvidenceConfig(inversion=InversionConfig(steps=1))

    removal = replace(work, looking=quick).remove("anp")

    assert [trigger.family for trigger in removal.first] == families


class Followed(nn.Module):
    """A network that answers TARGET where a wave shows; not from the class ``but``."""

    def __init__(self, network: nn.Module, but: int | None = None) -> None:
        super().__init__()
        self.network, self.but = network, but

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        shows = shows_wave(images) & (logits.argmax(1) != self.but)
        return logits + 50 * shows[:, None] * torch.eye(CORNERS)[TARGET]


@pytest.mark.parametrize(
    ("but", "target", "images", "summary"),
    [
        (None, TARGET, 8, f"one leads to class {TARGET}"),
        (1, TARGET, 8, f"none leads to class {TARGET}"),  # too few images
        (None, 0, 8, "none leads to class 0"),
        (None, None, 8, None),
        (None, TARGET, 0, None),
    ],
)
def test_a_wave_that_leads_to_the_suspected_class_is_a_trigger_of_it(
    skilled: nn.Module,
    samples: SplitSamples,
    but: int | None,
    target: int | None,
    images: int,
    summary: str | None,
) -> None:
    events: list[Event] = []
    model = Followed(skilled, but)
    before = evidence(p_inversion=SEEN)
    before = replace(before, verdict=replace(before.verdict, target=target))
    quick = EvidenceConfig(
        inversion=InversionConfig(steps=1),
        closing=ClosingConfig(waves=images, squares=0),
    )
    work = escalation(model, samples, before)

    removal = replace(work, looking=quick, listen=events.append).remove("anp")

    done = [
        e.summary for e in events if isinstance(e, StageDone) and e.stage == "waves"
    ]
    assert done == ([] if summary is None else [summary])
    is_found = summary is not None and summary.startswith("one")
    assert [isinstance(t.change, AddedWave) for t in removal.first] == [True] * is_found
    assert ("success" in removal.left) == is_found
