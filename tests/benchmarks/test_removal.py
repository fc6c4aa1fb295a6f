from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from baselines import anp, fine_tuning, nad
from baselines.training import copied, fit
from exposed import EXPOSED
from exposed import anp as exposed_anp
from exposed.findings import Findings, expose, findings_of, from_bytes
from harness import exposure
from harness.exposure import Exposure, Removal
from harness.processes import run_all
from harness.result import Result, Shares
from removal import answer, main
from subjects.zoo_models import ZooModel
from torch import nn

from rnp_cli.defense.samples import Samples
from rnp_cli.errors import DefenseFailed


def result(method: str, accuracy: float, rate: float, seed: int = 0) -> Result:
    return Result(
        subject="badnets-net",
        attack="BadNets",
        method=method,
        samples=100,
        seed=seed,
        key="",
        outcome="done",
        changed=True,
        seconds=1,
        cpu_seconds=1,
        before=Shares(clean_accuracy=0.9, attack_success_rate=1.0),
        after=Shares(clean_accuracy=accuracy, attack_success_rate=rate),
        details={},
    )


def exposure_of(subject: ZooModel, work: Path) -> Exposure:
    return Exposure(subject=subject, samples=100, seed=0, work=work)


def removal_of(subject: ZooModel, work: Path, method: str = "anp-exposed") -> Removal:
    return Removal(subject=subject, method=method, samples=100, seed=0, work=work)


def same(one: nn.Module, other: nn.Module) -> bool:
    state = other.state_dict()
    return all(torch.equal(value, state[n]) for n, value in one.state_dict().items())


def untouched(model: nn.Module, samples: Samples) -> Findings:
    """Findings that say nothing: all masks at one, no channel cut."""
    layers = anp.neurons(model, samples.images)
    masks = {layer.name: torch.ones(layer.channels) for layer in layers}
    return Findings(masks, model.state_dict())


def test_a_benchmark_from_end_to_end_and_again(
    zoo: list[ZooModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--profile", "digits", "--samples", "100", "--measured", "100"]
    options += ["--results", str(tmp_path), "--work", str(tmp_path / "work")]
    main(options)
    kept = [*(tmp_path / "work/digits").glob("*-100-0-*.json")]
    first = {file: file.stat().st_mtime_ns for file in kept}
    assert "| BadNets (1) |" in capsys.readouterr().out
    main(options)

    assert {file: file.stat().st_mtime_ns for file in kept} == first
    found = json.loads((tmp_path / "removal-digits.json").read_text())
    assert {row["subject"] for row in found} == {zoo[1].name}
    both = {name for m in EXPOSED for name in (m, f"{m}-exposed")}
    assert {row["method"] for row in found} == {"pruned", *both}
    assert all(row["outcome"] == "done" for row in found)
    (pruned,) = (row for row in found if row["method"] == "pruned")
    assert pruned["details"]["pruned"] > 0
    page = (tmp_path / "removal-digits.md").read_text()
    assert "| fine-tuning | fine-tuning-exposed | anp | anp-exposed | nad |" in page

    # What defense.py has measured as published is taken from its table.
    published = [row for row in found if row["method"] == "nad"]
    published[0]["after"] = {"clean_accuracy": 0.123, "attack_success_rate": 0.456}
    (tmp_path / "defense-digits.json").write_text(json.dumps(published))
    (tmp_path / "work/digits/badnets-resnet8-digits-100-0-nad.json").unlink()
    main(options)
    assert "| nad | 0.123 / 0.456 |" in (tmp_path / "removal-digits.md").read_text()


def test_findings_are_kept_whole_and_cut_a_copy(zoo: list[ZooModel]) -> None:
    model, samples = zoo[1].network(), zoo[1].clean_samples(100, 0)
    defended = expose(model, samples, seed=0)

    findings = from_bytes(findings_of(defended).to_bytes())

    pruned = findings.pruned_copy(model)
    assert same(pruned, defended.model)
    assert same(model, zoo[1].network())
    assert not same(pruned, model)
    values = defended.masks.value
    assert findings.masks.keys() == values.keys()
    assert all(torch.equal(findings.masks[name], values[name]) for name in values)


def test_masks_start_where_they_are_told_and_move_as_published(
    zoo: list[ZooModel],
) -> None:
    model, samples = zoo[1].network(), zoo[1].clean_samples(100, 0)
    layers = anp.neurons(model, samples.images)
    first = {layer.name: torch.rand(layer.channels) for layer in layers}
    before = {name: mask.clone() for name, mask in first.items()}

    still = exposed_anp.fit_masks(model, layers, samples, first, seed=0, steps=0)
    moved = exposed_anp.fit_masks(model, layers, samples, first, seed=0, steps=2)
    ones = untouched(model, samples).masks
    ours = exposed_anp.fit_masks(model, layers, samples, ones, seed=0, steps=2)
    published = anp.fit_masks(model, layers, samples, seed=0, steps=2)

    assert all(torch.equal(still[name], before[name]) for name in before)
    assert all(torch.equal(first[name], before[name]) for name in before)
    assert any(not torch.equal(moved[name], before[name]) for name in before)
    assert all(torch.equal(ours[name], published[name]) for name in before)


def test_fine_tuning_goes_on_from_the_pruned_model(zoo: list[ZooModel]) -> None:
    model, samples = zoo[1].network(), zoo[1].clean_samples(100, 0)
    pruned = copied(model)
    with torch.no_grad():
        next(pruned.parameters())[0] = 0
    findings = Findings({}, pruned.state_dict())

    tuned = EXPOSED["fine-tuning"](model, samples, findings=findings, seed=0)

    assert same(tuned, fine_tuning.defend(pruned, samples, seed=0))
    assert same(model, zoo[1].network())


def test_the_pruned_model_teaches_as_the_tuned_one_does_as_published(
    zoo: list[ZooModel],
) -> None:
    model, samples = zoo[1].network(), zoo[1].clean_samples(100, 0)
    teacher = copied(model)
    fit(
        teacher,
        samples,
        rate=nad.RATE,
        epochs=nad.TEACHER_EPOCHS,
        weight_decay=nad.WEIGHT_DECAY,
        batch_size=nad.BATCH,
        seed=0,
    )
    findings = Findings({}, teacher.state_dict())

    student = EXPOSED["nad"](model, samples, findings=findings, seed=0)

    assert same(student, nad.defend(model, samples, seed=0))
    other = EXPOSED["nad"](model, samples, findings=untouched(model, samples), seed=0)
    assert not same(student, other)


def test_where_nothing_is_exposed_the_model_stays_in_use(
    zoo: list[ZooModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_model: nn.Module, _samples: Samples, *, seed: int) -> None:
        raise DefenseFailed(f"It cannot be unlearned with seed {seed}.")

    monkeypatch.setattr(exposure, "expose", refuse)
    exposure_of(zoo[1], tmp_path).perform(threads=1)
    removal = removal_of(zoo[1], tmp_path)
    removal.perform(threads=1)

    kept = removal.kept()
    assert kept is not None
    assert not kept.changed
    assert kept.after == kept.before
    assert kept.outcome == "Nothing was exposed: It cannot be unlearned with seed 0."


@pytest.mark.filterwarnings("ignore")
def test_a_removal_without_its_exposure_dies(
    zoo: list[ZooModel], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    removal = removal_of(zoo[1], tmp_path)

    (dead,) = run_all([removal], jobs=1)

    assert "is to be made first" in capfd.readouterr().err
    assert dead.died
    assert removal.kept() is None


def test_an_exposure_without_its_findings_is_made_again(
    zoo: list[ZooModel], tmp_path: Path
) -> None:
    made = exposure_of(zoo[1], tmp_path)
    made.perform(threads=1)
    assert made.kept() is not None

    made.findings_file.unlink()

    assert made.kept() is None


def test_each_method_and_model_has_a_key_of_its_own(
    zoo: list[ZooModel], tmp_path: Path
) -> None:
    runs = [removal_of(zoo[1], tmp_path, f"{name}-exposed") for name in EXPOSED]
    runs += [dataclasses.replace(runs[0], subject=zoo[0])]

    keys = {run.key() for run in [*runs, exposure_of(zoo[1], tmp_path)]}

    assert len(keys) == len(runs) + 1


@pytest.mark.parametrize(
    ("accuracy", "rate", "words"),
    [
        (0.85, 0.2, "holds"),
        (0.80, 0.2, "holds"),
        (0.70, 0.9, "does not hold"),
        (0.70, 0.2, "less ASR for less CA"),
        (0.90, 0.9, "more CA for more ASR"),
        (0.805, 0.495, "no difference"),
    ],
)
def test_the_claim_is_answered_for_each_defence(
    accuracy: float, rate: float, words: str
) -> None:
    said = answer([result("anp", 0.8, 0.5), result("anp-exposed", accuracy, rate)])

    assert f"| {words} |" in said
    assert "| anp | 0.800 / 0.500 |" in said
    assert "| nad |" not in said


def test_only_pairs_of_one_seed_are_held_against_each_other() -> None:
    said = answer(
        [
            result("anp", 0.8, 0.5),
            result("anp", 0.8, 0.9, seed=1),
            result("anp-exposed", 0.89, 0.05),
        ]
    )

    assert "| anp | 0.800 / 0.500 | 0.890 / 0.050 | 0 of 1 | 1 of 1 | 1 of 1 |" in said
