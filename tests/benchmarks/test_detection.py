from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import detection
import pytest
from detection import main, render
from harness import verdicts
from harness.processes import run_all
from harness.verdicts import Found, Search
from subjects.zoo_models import ZooModel

from rnp_cli import RnpError
from rnp_cli.pipeline.detect import DetectRequest


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
