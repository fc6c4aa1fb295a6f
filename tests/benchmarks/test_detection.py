from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import detection
import pytest
from detection import main, render
from harness import verdicts
from harness.processes import run_all
from harness.result import Result, Shares
from harness.run import Run
from harness.tool import write_images
from harness.verdicts import Found, Search, tell
from subjects.zoo_models import ZooModel

from rnp_cli import RnpError, SanitizeRequest, sanitize
from rnp_cli.pipeline.detect import DetectRequest, detect


def found(**changes: object) -> Found:
    facts: dict[str, object] = {
        "subject": "badnets-net",
        "attack": "BadNets",
        "true_target": 0,
        "searcher": "rnp",
        "samples": 100,
        "seed": 0,
        "key": "",
        "flagged": True,
        "level": "strong",
        "kind": "single",
        "target": 0,
        "score": 2.0,
        "p_value": 0.001,
        "label_target": None,
        "norms": (1.0,),
        "seconds": 1,
        "cpu_seconds": 1,
        "outcome": "done",
    }
    return Found.model_validate(facts | changes)


CLEAN: dict[str, object] = {
    "subject": "clean-net",
    "attack": None,
    "true_target": None,
    "flagged": False,
    "level": "none",
    "kind": None,
    "target": None,
    "score": 3.0,
}
FAILED: dict[str, object] = {"flagged": False, "score": None, "outcome": "refused"}


def test_a_search_that_fails_is_in_no_figure_but_counted() -> None:
    page = render([found(), found(**CLEAN), found(**CLEAN | FAILED), found(**FAILED)])

    assert "| AUROC, backdoored against clean | 0.000 |" in page
    assert "| backdoored models flagged | 1 of 1 |" in page
    assert "| clean models flagged | 0 of 1 |" in page
    assert "| right class, of single targets | 1 of 1 |" in page
    assert "| searches failed, in no figure above | 2 of 4 |" in page
    assert "| clean-net | rnp | 100 | 0 | refused | – | – | – |" in page


def test_each_count_of_samples_has_its_own_figures() -> None:
    page = render([found(), found(samples=50, flagged=False)])

    assert "| | rnp, 100 samples | rnp, 50 samples |" in page
    assert "| backdoored models flagged | 1 of 1 | 0 of 1 |" in page


def search_of(subject: ZooModel, work: Path, device: str = "cpu") -> Search:
    return Search(
        subject=subject,
        searcher="rnp",
        samples=100,
        seed=0,
        work=work,
        device=device,
    )


def test_a_refused_search_says_nothing_of_the_model(
    zoo: list[ZooModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[DetectRequest] = []

    def refuse(request: DetectRequest) -> None:
        asked.append(request)
        raise RnpError("No.")

    monkeypatch.setattr(verdicts, "detect", refuse)
    search = search_of(zoo[0], tmp_path, device="auto")
    search.perform(threads=1)

    kept = search.kept()
    assert kept is not None
    assert kept.score is None
    assert not kept.is_done
    assert asked[0].device == "auto"


@pytest.mark.filterwarnings("ignore")
def test_a_search_that_dies_is_told_and_not_kept(
    zoo: list[ZooModel], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = dataclasses.replace(zoo[0], file=tmp_path / "missing.safetensors")
    search = dataclasses.replace(search_of(broken, tmp_path), searcher="neural-cleanse")

    (dead,) = run_all([search], jobs=1)

    assert "FileNotFoundError" in capfd.readouterr().err
    assert search.kept() is None
    assert "died with exit code 1" in render([dead])


def test_what_other_code_kept_is_searched_again(
    zoo: list[ZooModel], tmp_path: Path
) -> None:
    search = search_of(zoo[0], tmp_path)
    search.file.write_text(json.dumps({"key": "of an older version"}))

    assert search.kept() is None


def test_the_options_reach_the_searches(
    zoo: list[ZooModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Search] = []

    def only_list(searches: list[Search], *, jobs: int) -> list[Found]:
        asked.extend(searches)
        return [found() for _ in range(jobs)]

    monkeypatch.setattr(detection, "run_all", only_list)
    options = ["--profile", "digits", "--samples", "50", "100", "--only", zoo[1].name]
    options += ["--work", str(tmp_path / "work"), "--results", str(tmp_path)]
    main([*options, "--device", "cpu"])

    assert {search.samples for search in asked} == {50, 100}
    assert {search.work for search in asked} == {tmp_path / "work/digits"}
    with pytest.raises(SystemExit):
        main([*options, "--methods", "clp"])


@pytest.mark.parametrize("which", [0, 1], ids=["clean", "backdoored"])
def test_sanitize_hears_what_detect_hears(
    zoo: list[ZooModel], tmp_path: Path, which: int
) -> None:
    subject, seed = zoo[which], 1
    clean = write_images(subject.clean_samples(100, seed), tmp_path / "clean")
    asked = {"model": subject.file, "clean_dir": clean, "seed": seed, "device": "cpu"}

    detection = detect(DetectRequest.model_validate(asked | {"hear_all": True}))
    report = sanitize(SanitizeRequest.model_validate(asked)).report

    assert report.verdict == detection.verdict
    assert report.triggers == detection.triggers


def run_of(subject: ZooModel, work: Path) -> Run:
    return Run(subject=subject, method="rnp", samples=100, seed=0, work=work)


def told_by(run: Run, **changes: object) -> Result:
    shares = Shares(clean_accuracy=0.9, attack_success_rate=None)
    facts: dict[str, object] = {
        "subject": run.subject.name,
        "attack": run.subject.attack,
        "method": "rnp",
        "samples": 100,
        "seed": 0,
        "key": run.key(),
        "outcome": "repaired",
        "changed": True,
        "seconds": 1,
        "cpu_seconds": 1,
        "before": shares,
        "after": shares,
        "details": {
            "verdict": "weak",
            "kind": "all-to-one",
            "target": 7,
            "p_value": 0.02,
        },
    }
    return Result.model_validate(facts | changes)


def test_a_verdict_that_a_run_of_the_same_code_heard_is_taken(
    zoo: list[ZooModel], tmp_path: Path
) -> None:
    search = search_of(zoo[1], tmp_path)
    cleanse = dataclasses.replace(search, searcher="neural-cleanse")
    result = told_by(run_of(zoo[1], tmp_path))

    told, not_told = tell([search, cleanse], [result])

    (heard,) = run_all([told], jobs=1)
    assert heard.is_told
    assert (heard.level, heard.target, heard.true_target) == ("weak", 7, 7)
    assert heard.score == -0.02
    assert not_told.kept() is None
    page = render([heard, found(cpu_seconds=9)])
    assert "| verdicts taken from rnp sanitize | 1 of 2 |" in page
    assert "| seconds of CPU, mean of the others | 9 |" in page


@pytest.mark.parametrize(
    "changes", [{"key": "of older code"}, {"details": {}}, {"seed": 1}]
)
def test_what_was_heard_otherwise_is_not_taken(
    zoo: list[ZooModel], tmp_path: Path, changes: dict[str, object]
) -> None:
    result = told_by(run_of(zoo[1], tmp_path), **changes)

    (search,) = tell([search_of(zoo[1], tmp_path)], [result])

    assert search.kept() is None


def test_neural_cleanse_is_kept_with_norms_and_an_index(
    zoo: list[ZooModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "CLEANSE_STEPS", 3)
    search = dataclasses.replace(search_of(zoo[1], tmp_path), searcher="neural-cleanse")
    search.perform(threads=1)

    kept = search.kept()
    assert kept is not None
    assert kept.is_done
    assert kept.score is not None
    assert len(kept.norms) == 10
