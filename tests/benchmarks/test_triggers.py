from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from harness.patch import overlap, shifted_overlap, true_mask
from harness.processes import run_all
from harness.recovery import Recovered, Recovery
from subjects.zoo_models import ZooModel
from triggers import answer, main, render


def recovered(**changes: object) -> Recovered:
    facts: dict[str, object] = {
        "subject": "badnets-net",
        "attack": "BadNets",
        "on": "original",
        "samples": 100,
        "seed": 0,
        "key": "",
        "target": 7,
        "true_pixels": 9,
        "true_success": 1.0,
        "found": True,
        "overlap": 0.5,
        "shifted": 0.6,
        "norm": 4.0,
        "index": 3.0,
        "estimated": 0.9,
        "outcome": "done",
    }
    return Recovered.model_validate(facts | changes)


def recovery_of(subject: ZooModel, work: Path, samples: int = 100) -> Recovery:
    return Recovery(subject=subject, on="original", samples=samples, seed=0, work=work)


def test_the_true_mask_is_where_the_attack_stamps(zoo: list[ZooModel]) -> None:
    mask = true_mask(zoo[1])

    white = torch.zeros(8, 8, dtype=torch.bool)
    white[-3::2, -3::2] = True
    white[-2, -2] = True
    assert bool(mask[white].all())
    mask[-3:, -3:] = False
    assert not mask.any()


def test_masks_overlap_in_place_and_shifted() -> None:
    true, found = torch.zeros(2, 8, 8, dtype=torch.bool)
    true[5:, 5:] = True
    found[4:7, 5:] = True

    assert overlap(found, true) == pytest.approx(6 / 12)
    assert shifted_overlap(found, true) == 1
    assert overlap(torch.zeros_like(true), true) == 0
    found[:, :] = False
    found[0, 0] = True  # five pixels away, too far
    assert shifted_overlap(found, true) == 0


def test_a_benchmark_from_end_to_end_and_again(
    zoo: list[ZooModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--profile", "digits", "--samples", "100", "--measured", "100"]
    options += ["--results", str(tmp_path), "--work", str(tmp_path / "work")]
    main(options)
    kept = tmp_path / "work/digits/badnets-resnet8-digits-100-0-original.json"
    first = kept.stat().st_mtime_ns
    assert "| badnets-resnet8-digits | BadNets | 7 |" in capsys.readouterr().out
    main(options)

    assert kept.stat().st_mtime_ns == first
    found = json.loads((tmp_path / "triggers-digits.json").read_text())
    assert [result["on"] for result in found] == ["original", "unlearned"]
    assert {result["subject"] for result in found} == {zoo[1].name}
    assert all(result["outcome"] == "done" for result in found)
    assert found[0]["found"]
    assert found[0]["shifted"] >= found[0]["overlap"]
    assert found[0]["shifted"] > 0
    assert found[0]["true_success"] == pytest.approx(
        zoo[1].measure(zoo[1].network()).attack_success_rate, abs=1e-4
    )
    sheet = (tmp_path / "triggers-digits.png").read_bytes()
    assert sheet.startswith(b"\x89PNG")
    assert not list(kept.parent.glob("*.work"))


def test_a_recovery_without_its_mask_is_made_again(
    zoo: list[ZooModel], tmp_path: Path
) -> None:
    recovery = recovery_of(zoo[1], tmp_path)
    recovery.perform(threads=1)
    assert recovery.kept() is not None
    mask = recovery.mask()
    assert mask is not None
    assert mask.shape == (8, 8)

    recovery.mask_file.unlink()

    assert recovery.kept() is None


def test_a_recovery_that_fails_is_told_and_in_no_mean(
    zoo: list[ZooModel], tmp_path: Path
) -> None:
    recovery = recovery_of(zoo[1], tmp_path, samples=2)
    recovery.perform(threads=1)
    failed = recovery.kept()
    assert failed is not None
    assert failed.outcome.startswith("refused: ")
    assert failed.overlap is None

    page = render("Title", [recovered(), failed.model_copy(update={"samples": 100})])

    assert "| triggers found | 1 of 1 | 0 of 0 |" in page
    assert "| IoU, mean | 0.500 | – |" in page
    assert "## Failed\n\n- badnets-resnet8-digits on original" in page


@pytest.mark.filterwarnings("ignore")
def test_a_recovery_that_dies_is_told_and_not_kept(
    zoo: list[ZooModel], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recovery = recovery_of(zoo[1], tmp_path, samples=10**6)

    (dead,) = run_all([recovery], jobs=1)

    assert "clean samples are asked for" in capfd.readouterr().err
    assert recovery.kept() is None
    assert "died with exit code 1" in render("Title", [dead])


@pytest.mark.parametrize(
    ("after", "words"), [(0.7, "holds"), (0.3, "does not hold"), (0.5, "is undecided")]
)
def test_the_claim_is_answered_plainly(after: float, words: str) -> None:
    results = [recovered(), recovered(on="unlearned", overlap=after)]

    said = answer(results)

    assert f"of IoU it **{words}** (mean 0.500 from the original model" in said
    assert "of estimated ASR it **is undecided**" in said


def test_without_both_recoveries_nothing_is_said() -> None:
    assert "of IoU **nothing can be said**" in answer([recovered()])


def test_estimates_are_close_or_not() -> None:
    page = render("Title", [recovered(), recovered(on="unlearned", estimated=0.3)])

    assert "| estimated ASR within 0.15 of the true one | 1 of 1 | 0 of 1 |" in page


def test_models_without_a_patch_are_no_subject(zoo: list[ZooModel]) -> None:
    with pytest.raises(SystemExit, match="None of these models"):
        main(["--profile", "digits", "--only", "clean"])
