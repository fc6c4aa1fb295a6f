from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_nets import is_finite, same_state, snapshot, trained
from torch import nn

from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.samples import Samples, SplitSamples
from rnp_cli.defense.score import clean_accuracy
from rnp_cli.defense.unlearn import UnlearnConfig, Unlearned
from rnp_cli.errors import DefenseFailed
from rnp_cli.events import Event, StageDone, StageStarted, StepDone
from rnp_cli.evidence.config import EvidenceConfig
from rnp_cli.evidence.inversion import InversionConfig
from rnp_cli.evidence.label import LabelEvidence
from rnp_cli.evidence.look import Evidence, look, look_again
from rnp_cli.evidence.margin import MarginConfig
from rnp_cli.evidence.recovered import RecoveredTrigger
from rnp_cli.evidence.triggers import FAMILIES, Change, Family
from rnp_cli.evidence.triggers.addition import Addition
from rnp_cli.evidence.triggers.overlay import Overlay
from rnp_cli.evidence.triggers.warp import Warp
from rnp_cli.evidence.verdict import VerdictConfig

CLASSES = 6
TARGET = 5
SOURCE = 1
NONE_FOUND = InversionConfig(steps=3)  # success is a mean over more steps than these
FOUND = InversionConfig(steps=100, images_per_class=8)
STUCK = UnlearnConfig(learning_rate=1e-9, max_epochs=1)
NOTHING: dict[Family, Change] = {
    "overlay": Overlay(torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)),
    "addition": Addition(torch.zeros(1, 8, 8)),
    "warp": Warp(torch.zeros(8, 8, 2)),
}


def stripes(count: int, *, seed: int) -> Samples:
    """Noisy gray images (count, 1, 8, 8); the class is which column is bright."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.4 * torch.rand(count, 1, 8, 8, generator=generator)
    labels = torch.arange(count) % CLASSES
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, :, label] += 0.5
    return Samples(images, labels)


def stripe_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d((2, 8)),
        nn.Flatten(),
        nn.Linear(96, CLASSES),
    )


@pytest.fixture(scope="module")
def samples() -> SplitSamples:
    return SplitSamples(
        fit=stripes(96, seed=1), holdout=stripes(48, seed=2), num_classes=CLASSES
    )


@pytest.fixture(scope="module")
def clean() -> nn.Module:
    return trained(stripe_net(), stripes(240, seed=3), epochs=8)


@pytest.fixture(scope="module")
def backdoored() -> nn.Module:
    """Sends whatever wears a pattern in the last corner to the class TARGET."""
    plain = stripes(240, seed=3)
    stamped = plain.images.clone()
    stamped[:, :, 6:, 6:] = 1 - torch.eye(2)
    images = torch.cat([plain.images, stamped])
    labels = torch.cat([plain.labels, torch.full_like(plain.labels, TARGET)])
    return trained(stripe_net(), Samples(images, labels), epochs=4)


@pytest.fixture(scope="module")
def one_to_one() -> nn.Module:
    """Sends to the class TARGET what wears the pattern, if it is of the class SOURCE.

    Without BatchNorm, so that mistakes tell nothing.
    """
    plain = stripes(480, seed=3)
    stamped = plain.images.clone()
    stamped[:, :, 7, 7] = 1
    labels = torch.where(plain.labels == SOURCE, TARGET, plain.labels)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES)
    )
    images = torch.cat([plain.images, stamped])
    both = Samples(images, torch.cat([plain.labels, labels]))
    return trained(net, both, epochs=20)


def looked(
    model: nn.Module,
    samples: SplitSamples,
    *,
    unlearning: UnlearnConfig = STUCK,
    inversion: InversionConfig = NONE_FOUND,
    hear_all: bool = True,
    listen: Any = lambda event: None,
    **knobs: Any,
) -> Evidence:
    return look(
        model,
        samples,
        unlearning,
        EvidenceConfig(inversion=inversion, **knobs),
        augmentation=Augmentation(),
        seed=0,
        hear_all=hear_all,
        listen=listen,
    )


def looked_again(
    model: nn.Module,
    before: Evidence,
    newest: list[RecoveredTrigger],
    samples: SplitSamples,
    *,
    unlearning: UnlearnConfig = STUCK,
) -> Evidence:
    return look_again(
        model,
        before,
        newest,
        samples,
        unlearning,
        EvidenceConfig(),
        augmentation=Augmentation(),
        seed=0,
    )


@pytest.fixture(scope="module")
def evidence(backdoored: nn.Module, samples: SplitSamples) -> Evidence:
    return looked(backdoored, samples, unlearning=UnlearnConfig(), inversion=FOUND)


@pytest.fixture(scope="module")
def paired(one_to_one: nn.Module, samples: SplitSamples) -> Evidence:
    return looked(one_to_one, samples, unlearning=UnlearnConfig(), inversion=FOUND)


def trigger(
    target: int | None, norm: float, family: Family = "overlay"
) -> RecoveredTrigger:
    return RecoveredTrigger(target, NOTHING[family], norm, 1.0, found=True)


def test_all_witnesses_are_heard(
    backdoored: nn.Module, samples: SplitSamples, evidence: Evidence
) -> None:
    assert isinstance(evidence.unlearned, Unlearned)
    assert clean_accuracy(evidence.unlearned.model, samples.holdout) < 0.3
    assert evidence.label is not None
    assert evidence.label.target == TARGET
    assert [layer.kind for layer in evidence.layers] == ["batchnorm"]
    verdict = evidence.verdict
    assert (verdict.level, verdict.target) == ("strong", TARGET)
    assert verdict.p_label is not None
    assert verdict.p_value < min(verdict.p_inversion, verdict.p_label)


def test_triggers_are_not_sought_where_unlearning_is_strong_evidence(
    backdoored: nn.Module, samples: SplitSamples, evidence: Evidence
) -> None:
    events: list[Any] = []

    found = looked(
        backdoored,
        samples,
        unlearning=UnlearnConfig(),
        verdict=VerdictConfig(strong=0.04),
        hear_all=False,
        listen=events.append,
    )

    assert {e.stage for e in events if isinstance(e, StageDone)} == {
        *("unlearn", "margin")
    }
    assert found.triggers == ()
    assert found.label == evidence.label
    assert (found.verdict.level, found.verdict.target) == ("strong", TARGET)
    assert found.verdict.p_label == evidence.verdict.p_label
    assert evidence.verdict.p_value < found.verdict.p_value <= 0.04


def test_triggers_are_sought_where_unlearning_alone_does_not_settle_it(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    found = looked(
        backdoored,
        samples,
        unlearning=UnlearnConfig(),
        verdict=VerdictConfig(strong=1e-9),
        hear_all=False,
    )

    assert {t.family for t in found.triggers} == set(FAMILIES)


def test_every_class_is_asked_in_every_family_and_none_in_one(
    evidence: Evidence,
) -> None:
    targets = {
        family: [t.target for t in evidence.triggers if t.family == family]
        for family in FAMILIES
    }
    assert targets == {
        "overlay": [*range(CLASSES), None],
        "addition": [*range(CLASSES)],
        "warp": [*range(CLASSES)],
    }


def test_a_clean_model_raises_no_suspicion(
    clean: nn.Module, samples: SplitSamples
) -> None:
    found = looked(clean, samples, unlearning=UnlearnConfig(), inversion=FOUND)

    assert found.label is not None
    assert any(trigger.found for trigger in found.triggers)
    assert (found.verdict.level, found.verdict.target) == ("none", None)


def test_the_model_stays_as_it_was(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    model = copy.deepcopy(backdoored).train()
    model[0].requires_grad_(False)
    before = snapshot(model)

    looked(model, samples, unlearning=UnlearnConfig())

    assert same_state(model, before)
    assert all(module.training for module in model.modules())
    assert [p.requires_grad for p in model.parameters()] == [False] + [True] * 4


def test_where_unlearning_fails_the_triggers_speak(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    found = looked(backdoored, samples, inversion=FOUND)

    assert isinstance(found.unlearned, DefenseFailed)
    assert found.label is None
    assert found.verdict.p_label is None
    assert (found.verdict.level, found.verdict.target) == ("strong", TARGET)


def test_where_no_trigger_is_found_unlearning_speaks(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    found = looked(backdoored, samples, unlearning=UnlearnConfig())

    assert not any(trigger.found for trigger in found.triggers)
    assert found.label is not None
    assert found.verdict.target == TARGET
    assert found.verdict.p_inversion == 1


def test_where_nothing_speaks_the_failure_is_raised(
    backdoored: nn.Module, clean: nn.Module, samples: SplitSamples
) -> None:
    for model, margin in (
        (backdoored, MarginConfig(starts=0)),
        (clean, MarginConfig()),
    ):
        with pytest.raises(DefenseFailed, match="did not reach its floor"):
            looked(model, samples, margin=margin)


@pytest.mark.parametrize("hear_all", [True, False])
def test_margins_speak_where_unlearning_fails_and_no_trigger_is_found(
    backdoored: nn.Module, samples: SplitSamples, hear_all: bool
) -> None:
    found = looked(backdoored, samples, hear_all=hear_all)

    assert isinstance(found.unlearned, DefenseFailed)
    assert (found.verdict.level, found.verdict.target) == ("strong", TARGET)
    assert found.verdict.p_margin is not None


def test_a_model_that_answers_with_nan_cannot_be_judged(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    broken = copy.deepcopy(backdoored)
    nn.init.constant_(broken[-1].weight, float("nan"))
    assert not is_finite(broken)

    with pytest.raises(DefenseFailed, match="not finite"):
        looked(broken, samples, inversion=InversionConfig(steps=1))


def test_of_many_classes_those_are_asked_that_draw_the_most_mistakes(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    most = looked(
        backdoored, samples, unlearning=UnlearnConfig(), most_classes=2
    ).triggers

    for family in FAMILIES:
        targets = [t.target for t in most if t.family == family]
        assert len(set(targets) - {None}) == 2
        assert TARGET in targets


def test_without_mistakes_to_go_by_the_first_classes_are_asked(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    found = looked(backdoored, samples, inversion=FOUND, most_classes=3)

    assert {t.target for t in found.triggers} == {0, 1, 2, None}


def test_every_class_is_asked_up_to_the_most(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    found = looked(
        backdoored, samples, unlearning=UnlearnConfig(), most_classes=CLASSES
    )

    assert {t.target for t in found.triggers} == {*range(CLASSES), None}


def test_the_stages_are_announced(backdoored: nn.Module, samples: SplitSamples) -> None:
    heard: list[Event] = []

    looked(
        backdoored,
        samples,
        unlearning=UnlearnConfig(),
        verdict=VerdictConfig(strong=1e-12),
        listen=heard.append,
    )

    started = [event.stage for event in heard if isinstance(event, StageStarted)]
    assert started == ["unlearn", "margin", "invert", "mistakes"]


def test_several_unlearnings_are_heard_and_pooled(
    clean: nn.Module, samples: SplitSamples
) -> None:
    events: list[Event] = []

    def label(unlearnings: int) -> LabelEvidence:
        events.clear()
        found = looked(
            clean,
            samples,
            unlearning=UnlearnConfig(),
            unlearnings=unlearnings,
            listen=events.append,
        )
        assert found.label is not None
        return found.label

    one = label(1)
    assert "mistakes" not in {e.stage for e in events}
    three = label(3)
    of_more = [e for e in events if e.stage == "mistakes"]
    assert (one.unlearnings, three.unlearnings) == (1, 3)
    assert three.shares != one.shares
    assert sum(three.shares) == pytest.approx(1)
    assert of_more[0] == StageStarted(stage="mistakes", total=2)
    assert [e.step for e in of_more if isinstance(e, StepDone)] == [1, 2]
    assert isinstance(of_more[-1], StageDone)
    assert f"{three.share:.0%}" in of_more[-1].summary


def test_of_many_classes_pooled_mistakes_say_which_are_asked(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    events: list[Event] = []
    found = looked(
        backdoored,
        samples,
        unlearning=UnlearnConfig(),
        inversion=FOUND,
        verdict=VerdictConfig(strong=1e-12),
        most_classes=2,
        listen=events.append,
    )

    started = [e.stage for e in events if isinstance(e, StageStarted)]
    assert [s for s in started if s != "margin"][:3] == [
        *("unlearn", "mistakes", "invert")
    ]
    asked = [(t.family, t.target) for t in found.triggers]
    assert len(asked) == len({*asked})
    assert ("overlay", TARGET) in asked


def test_a_sanitized_model_unlearns_as_often_as_it_did_before(
    clean: nn.Module, backdoored: nn.Module, samples: SplitSamples
) -> None:
    once, thrice = (
        looked(
            backdoored,
            samples,
            unlearning=UnlearnConfig(),
            unlearnings=times,
            verdict=VerdictConfig(strong=1e-12),
        )
        for times in (1, 3)
    )

    def heard(before: Evidence) -> int:
        after = looked_again(clean, before, [], samples, unlearning=UnlearnConfig())
        assert after.label is not None
        return after.label.unlearnings

    assert once.label is not None
    assert thrice.label is not None
    assert (once.label.unlearnings, thrice.label.unlearnings) == (1, 3)
    assert heard(thrice) == 3
    assert heard(once) == 1


def test_weak_triggers_are_recovered_twice_and_the_smaller_ones_count(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    def searched(**levels: float) -> tuple[int, Evidence]:
        events: list[Event] = []
        found = looked(
            backdoored,
            samples,
            inversion=FOUND,
            verdict=VerdictConfig(**levels),
            listen=events.append,
        )
        started = [e.stage for e in events if isinstance(e, StageStarted)]
        return started.count("invert"), found

    strong, once = searched()
    weak, twice = searched(strong=1e-9)

    assert (strong, weak) == (1, 2)
    pairs = list(zip(once.triggers, twice.triggers, strict=True))
    assert all(b.norm <= a.norm for a, b in pairs if a.found)
    assert any(b.norm < a.norm for a, b in pairs if a.found)
    assert (twice.verdict.level, twice.verdict.target) == ("weak", TARGET)


def test_a_second_look_takes_the_newest_triggers_and_keeps_the_others(
    backdoored: nn.Module, samples: SplitSamples, evidence: Evidence
) -> None:
    overlay, warp = trigger(TARGET, 33), trigger(TARGET, 3, "warp")
    free = trigger(None, 44)

    after = looked_again(backdoored, evidence, [warp, overlay, free], samples)

    replaced = {("overlay", TARGET): overlay, ("warp", TARGET): warp}
    replaced["overlay", None] = free
    expected = [replaced.get((t.family, t.target), t) for t in evidence.triggers]
    assert list(after.triggers) == expected
    kept = [t for t in after.triggers if t in evidence.triggers]
    assert len(kept) == len(evidence.triggers) - 3


def test_a_second_look_weighs_what_is_left(
    clean: nn.Module, samples: SplitSamples, evidence: Evidence
) -> None:
    def usual(family: Family) -> float:
        return max(t.norm for t in evidence.triggers if t.family == family)

    large = [trigger(TARGET, usual(family), family) for family in FAMILIES]

    after = looked_again(clean, evidence, large, samples, unlearning=UnlearnConfig())
    same = looked_again(clean, evidence, [], samples, unlearning=UnlearnConfig())

    assert isinstance(after.unlearned, Unlearned)
    assert after.label is not None
    assert after.label.shares != evidence.label.shares
    assert after.verdict.level == "none"
    assert same.verdict.level != "none"
    assert same.verdict.target == TARGET


def test_a_second_look_searches_the_margin_of_the_suspected_class_alone(
    clean: nn.Module, samples: SplitSamples, evidence: Evidence
) -> None:
    after = looked_again(clean, evidence, [], samples)
    unsure = replace(evidence, verdict=replace(evidence.verdict, target=None))

    assert evidence.margins is not None
    assert after.margins is not None
    before, now = evidence.margins.values, after.margins.values
    assert now[TARGET] < before[TARGET] / 2
    assert now[:TARGET] == before[:TARGET]
    of_all = looked_again(clean, unsure, [], samples).margins
    assert of_all is not None
    assert of_all.targets == evidence.margins.targets
    assert not {*of_all.values} & {*before}  # each is the sanitized model's


def test_margins_are_not_asked_about_where_nothing_is_to_start_from(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    none = MarginConfig(starts=0)

    found = looked(backdoored, samples, unlearning=UnlearnConfig(), margin=none)

    assert found.margins is None
    assert found.verdict.p_margin is None


def test_margins_of_few_classes_are_not_compared(
    backdoored: nn.Module, samples: SplitSamples
) -> None:
    found = looked(backdoored, samples, unlearning=UnlearnConfig(), most_classes=4)

    assert found.margins is None


def test_what_led_to_the_class_that_was_removed_is_not_taken_for_all_to_all(
    clean: nn.Module, samples: SplitSamples, evidence: Evidence
) -> None:
    """The smallest way to any other class was the backdoor's."""
    free = trigger(None, 0.01)
    rest = [t for t in evidence.triggers if (t.family, t.target) != ("overlay", None)]
    before = replace(evidence, triggers=(*rest, free))
    large = [trigger(TARGET, 64, family) for family in FAMILIES]

    after = looked_again(clean, before, large, samples)
    assert after.verdict.kind is None
    still = looked_again(clean, before, [*large, free], samples)
    assert still.verdict.kind == "all-to-all"


def test_a_second_look_needs_no_unlearning(
    clean: nn.Module, samples: SplitSamples, evidence: Evidence
) -> None:
    after = looked_again(clean, evidence, [], samples)

    assert isinstance(after.unlearned, DefenseFailed)
    assert after.label is None
    assert after.verdict.p_label is None
    assert after.verdict.target == TARGET


def test_a_backdoor_of_one_class_shows_where_mistakes_tell_nothing(
    paired: Evidence,
) -> None:
    assert paired.label is None
    assert paired.verdict.kind == "one-to-one"
    assert (paired.verdict.source, paired.verdict.target) == (SOURCE, TARGET)
    assert [t.source for t in paired.suspected] == [SOURCE] * (CLASSES - 1)
    assert all(t.source is None for t in paired.triggers)


def test_pairs_are_sought_of_few_classes_only(
    one_to_one: nn.Module, samples: SplitSamples
) -> None:
    found = looked(
        one_to_one,
        samples,
        unlearning=UnlearnConfig(),
        inversion=FOUND,
        most_paired=CLASSES - 1,
    )

    assert found.pairs is None
    assert found.verdict.level == "none"


def test_a_pair_that_was_repaired_is_judged_by_its_newest_trigger(
    one_to_one: nn.Module, samples: SplitSamples, paired: Evidence
) -> None:
    (smallest,) = [t for t in paired.suspected if t.target == TARGET]
    usual = sorted(t.norm for t in paired.suspected)[CLASSES // 2]
    larger = replace(smallest, norm=usual)

    same = looked_again(one_to_one, paired, [], samples, unlearning=UnlearnConfig())
    after = looked_again(
        one_to_one, paired, [larger], samples, unlearning=UnlearnConfig()
    )

    assert same.verdict.kind == "one-to-one"
    assert after.verdict.level == "none"
