from __future__ import annotations

import dataclasses
import json
import sys
from functools import partial
from pathlib import Path

import ablation
import defense
import estimates
import pictures
import pytest
import torch
from baselines import BASELINES, published
from defense import main
from harness.ablations import ABLATIONS
from harness.baseline import attempt_baseline
from harness.drawing import draw_outcomes, draw_paths
from harness.estimates import estimate_of, still_holds
from harness.method import Method
from harness.methods import ABLATED, COMPARED, METHODS, USUAL
from harness.path import measured_path
from harness.processes import run_all
from harness.result import Result, Shares, read_results
from harness.run import Run
from harness.sources import sources_of, tool_sources
from harness.table import render
from harness.tool import configured
from subjects.zoo_models import ZooModel
from torch import nn

from rnp_cli.defense.rnp import DefenseConfig
from rnp_cli.defense.samples import Samples
from rnp_cli.errors import DefenseFailed
from rnp_cli.evidence.config import EvidenceConfig


def run_of(subject: ZooModel, method: str, work: Path) -> Run:
    return Run(subject=subject, method=method, samples=100, seed=0, work=work)


def result(**changes: object) -> Result:
    facts: dict[str, object] = {
        "subject": "badnets-net",
        "attack": "BadNets",
        "method": "rnp",
        "samples": 500,
        "seed": 0,
        "key": "",
        "outcome": "pruned",
        "changed": True,
        "seconds": 3,
        "cpu_seconds": 5,
        "before": Shares(clean_accuracy=0.9, attack_success_rate=1.0),
        "after": Shares(clean_accuracy=0.88, attack_success_rate=0.04),
        "details": {},
    }
    return Result.model_validate(facts | changes)


def test_a_benchmark_from_end_to_end_and_again(
    zoo: list[ZooModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work, results = tmp_path / "work", tmp_path / "results"
    options = ["--profile", "digits", "--samples", "100", "--measured", "100"]
    options += ["--work", str(work), "--results", str(results)]
    options += ["--methods", "clp", "--only", "badnets"]
    main(options)
    kept = work / "digits" / "badnets-resnet8-digits-100-0-clp.json"
    first = kept.stat().st_mtime_ns
    assert "| BadNets (1) |" in capsys.readouterr().out
    main(options)
    assert kept.stat().st_mtime_ns == first
    kept.unlink()
    main(options)  # the table's data say what was found
    assert kept.exists()
    (found,) = read_results(results / "defense-digits-badnets.json")
    assert found.subject == zoo[1].name
    assert found.attack == "BadNets"
    assert "| clp |" in (results / "defense-digits-badnets.md").read_text()


def test_the_tool_runs_by_its_public_api_and_its_path_is_drawn(
    zoo: list[ZooModel], tmp_path: Path
) -> None:
    run = run_of(zoo[1], "rnp", tmp_path)
    run.perform(threads=1)
    kept = run.kept()
    assert kept is not None
    assert kept.before is not None
    assert kept.outcome in {"pruned", "repaired", "not-safe"}
    assert kept.changed == (kept.outcome != "not-safe")
    assert not list(tmp_path.glob("*.clean"))
    path = measured_path(run)
    assert path is not None
    assert path.points[0].shares == kept.before
    estimate = estimate_of(run)
    assert estimate is not None
    assert (estimate.before, estimate.after) == (kept.before, kept.after)
    assert estimate.is_flagged
    assert estimate.target == estimate.true_target == 7
    assert still_holds(estimate, run)
    assert not still_holds(estimate.model_copy(update={"outcome": "pruned?"}), run)
    page = estimates.render("Reports", [estimate])
    assert "| right class, of single targets | 1 of 1 |" in page
    assert path.chosen == kept.details["pruned"]
    assert path.chosen in {point.pruned for point in path.points}
    draw_outcomes([kept], tmp_path / "outcomes.png")
    draw_paths([path], tmp_path / "paths.png")
    for name in ("outcomes.png", "paths.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_the_tools_other_methods_are_asked_for_by_name(
    zoo: list[ZooModel], tmp_path: Path
) -> None:
    run = run_of(zoo[1], "rnp-prune", tmp_path)

    run.perform(threads=1)

    (report,) = tmp_path.glob("*.report.json")
    assert json.loads(report.read_text())["method"] == "rnp"
    kept = run.kept()
    assert kept is not None
    assert (kept.outcome, kept.details["rounds"]) == ("pruned", 0)
    assert run.method in set(COMPARED) - set(USUAL)


@pytest.mark.parametrize("name", [*ABLATIONS])
def test_what_an_ablation_changes_is_read_by_the_tool(name: str) -> None:
    changed = configured(ABLATIONS[name])

    usual = {"defense": DefenseConfig(), "evidence": EvidenceConfig()}
    differing = [part for part in usual if changed[part] != usual[part]]
    assert len(differing) == 1
    assert f"without-{name}" in ABLATED


def test_an_ablation_has_a_table_of_its_own(
    zoo: list[ZooModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--profile", "digits", "--samples", "100", "--measured", "100"]
    options += ["--work", str(tmp_path / "work"), "--results", str(tmp_path)]
    options += ["--methods", "without-distillation", "--only", "badnets"]

    ablation.main(options)

    assert "without-distillation" in capsys.readouterr().out
    (found,) = read_results(tmp_path / "ablation-digits-badnets.json")
    assert (found.method, found.attack) == ("without-distillation", "BadNets")
    (report,) = (tmp_path / "work" / "digits").glob("*.report.json")
    settings = json.loads(report.read_text())["settings"]
    assert settings["repair"]["distillation"] == 0


def test_pictures_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in ("harness.drawing", "matplotlib.axes"):
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SystemExit, match="pip install"):
        pictures.main(["--profile", "digits"])


def test_where_no_model_is_trained_the_command_that_does_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(defense, "zoo_subjects", lambda *_args, **_more: [])
    with pytest.raises(SystemExit, match=r"train_zoo\.py --profile digits$"):
        main(["--profile", "digits", "--work", str(tmp_path)])


def test_where_no_name_fits_the_names_are_listed(
    zoo: list[ZooModel], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=f"'no such'; there are {zoo[0].name}, "):
        main(["--profile", "digits", "--only", "no such", "--work", str(tmp_path)])


def refusing(_model: nn.Module, _samples: Samples, *, seed: int) -> nn.Module:
    raise DefenseFailed(f"It cannot be done with seed {seed}.")


def spoiling(model: nn.Module, _samples: Samples, *, seed: int) -> nn.Module:
    spoilt = BASELINES["clp"](model, _samples, seed=seed)
    with torch.no_grad():
        for parameter in spoilt.parameters():
            parameter.fill_(torch.nan)
    return spoilt


@pytest.mark.parametrize(
    ("baseline", "words"), [(refusing, "cannot be done"), (spoiling, "NaN")]
)
def test_a_failing_defence_leaves_the_model_in_use(
    zoo: list[ZooModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    baseline: object,
    words: str,
) -> None:
    failing = Method(partial(attempt_baseline, baseline), list)
    monkeypatch.setitem(METHODS, "failing", failing)
    run = run_of(zoo[1], "failing", tmp_path)
    run.perform(threads=1)
    kept = run.kept()
    assert kept is not None
    assert not kept.changed
    assert kept.after == kept.before
    assert words in kept.outcome
    assert words in render("Title", [kept])


@pytest.mark.filterwarnings("ignore")
def test_a_run_that_dies_is_told_and_not_kept(
    zoo: list[ZooModel], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = dataclasses.replace(zoo[1], file=tmp_path / "missing.safetensors")
    run = run_of(broken, "clp", tmp_path)
    (dead,) = run_all([run], jobs=1)
    assert "FileNotFoundError" in capfd.readouterr().err
    assert dead.died
    assert run.kept() is None
    assert "died with exit code 1" in render("Title", [dead])


def test_another_model_or_another_code_is_run_again(
    zoo: list[ZooModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(zoo[0], "clp", tmp_path)
    assert run.key() != run_of(zoo[1], "clp", tmp_path).key()
    before = run.key()
    more = Method(METHODS["clp"].attempt, tool_sources)
    monkeypatch.setitem(METHODS, "clp", more)
    assert run.key() != before


def test_a_baseline_is_made_of_its_own_file_and_what_it_imports() -> None:
    names = {file.name for file in sources_of(Path(published.__file__))}
    assert names == {"published.py", "training.py"}


def test_the_table_has_means_the_worst_and_what_counts_as_cleansed() -> None:
    worse = Shares(clean_accuracy=0.80, attack_success_rate=0.5)
    page = render(
        "Title",
        [
            result(),
            result(seed=1, after=worse),
            result(method="clp", outcome="no | way", changed=False),
            result(subject="clean-net", attack=None, method="clp", before=worse),
        ],
    )
    assert "| BadNets (1) | 0.900 / 1.000 | 0.840 / 0.270 |" in page
    assert "| worst ASR | – | 0.500 |" in page
    assert "| worst loss of CA | – | 0.100 |" in page
    assert "| cleansed | – | 1 of 2 |" in page
    assert "| clp | badnets-net | 0 | no \\| way |" in page


def test_a_method_without_a_run_leaves_its_cells_empty() -> None:
    page = render("Title", [result(), result(subject="other", method="clp")])
    assert "| badnets-net | 0.900 / 1.000 | 0.880 / 0.040 | – |" in page


def test_the_table_tells_which_method_has_fewer_seeds() -> None:
    seen = [result(), result(method="clp"), result(seed=1, method="clp")]
    assert "rnp: seeds 0 only." in render("Title", seen)
    assert "only" not in render("Title", [*seen, result(seed=1)])
