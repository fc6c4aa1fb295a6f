from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from baselines.strip import entropies
from defense import read_options
from filter import find_sortings, main, render
from harness.processes import run_all
from harness.result import Result, Shares, write
from harness.run import Run
from harness.sorting import Scores, Sorting, auroc, rates
from subjects.zoo_models import ZooModel
from torch import Tensor, nn

from rnp_cli.defense.samples import Samples


class Stubborn(nn.Module):
    """Sure of a class where the first pixel is white, and of none elsewhere."""

    def forward(self, images: Tensor) -> Tensor:
        white = (images[:, 0, 0, :1] >= 1).float()
        return torch.cat([20 * white, torch.zeros(len(images), 3)], 1)


def test_strip_finds_low_entropy_where_overlays_change_nothing() -> None:
    samples = Samples(torch.full((10, 1, 2, 2), 0.2), torch.zeros(10).long())
    images = torch.stack([torch.ones(1, 2, 2), torch.zeros(1, 2, 2)])

    kept, open_ = entropies(Stubborn(), samples, images, seed=0).tolist()

    assert kept == pytest.approx(0, abs=1e-6)
    assert open_ == pytest.approx(2)  # bits, of four classes


def test_scores_are_measured_at_true_and_at_stated_rates() -> None:
    clean, triggered = torch.arange(100.0), torch.tensor([98.5, 97.5, 10.0, 200.0])
    p_values = torch.cat([torch.linspace(1, 0.01, 100), torch.full((4,), 0.02)])

    one, five = rates(Scores(torch.cat([clean, triggered]), p_values), 100)

    assert auroc(clean, triggered) == pytest.approx(0.7687, abs=1e-4)
    assert (one.found, one.flagged, one.false) == (0.5, 0.0, 0.01)
    assert (five.found, five.flagged, five.false) == (0.75, 1.0, 0.05)
    assert auroc(clean, triggered[:0]) is None


def test_a_benchmark_from_end_to_end_and_again(
    zoo: list[ZooModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--profile", "digits", "--samples", "100", "--measured", "100"]
    options += ["--only", "badnets", "--results", str(tmp_path)]
    options += ["--work", str(tmp_path / "work")]
    main(options)
    kept = tmp_path / "work/digits/badnets-resnet8-digits-100-0-rnp.json"
    first = kept.stat().st_mtime_ns
    assert "| BadNets (1) | strip |" in capsys.readouterr().out
    main(options)

    assert kept.stat().st_mtime_ns == first
    found = json.loads((tmp_path / "filter-digits-badnets.json").read_text())
    assert [result["sorter"] for result in found] == [
        "rnp",
        "rnp-sanitized",
        "strip",
    ]
    assert all(result["outcome"] == "done" for result in found)
    assert all(result["triggered"] * 9 <= result["clean"] + 9 for result in found)
    assert found[0]["subject"] == zoo[1].name
    assert not list(kept.parent.glob("*.work"))


@pytest.mark.filterwarnings("ignore")
def test_a_sorting_that_dies_is_told_and_in_no_mean(
    zoo: list[ZooModel], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = dataclasses.replace(zoo[1], file=tmp_path / "missing.safetensors")
    sorting = Sorting(
        subject=broken, sorter="strip", samples=100, images=50, seed=0, work=tmp_path
    )

    (dead,) = run_all([sorting], jobs=1)

    assert "FileNotFoundError" in capfd.readouterr().err
    assert sorting.kept() is None
    page = render("Title", [dead])
    assert "died with exit code 1" in page
    assert "| badnets-resnet8-digits | strip | – |" in page
    other = render("Title", [dead, dead.model_copy(update={"samples": 50})])
    assert "## By attack, 50 samples" in other
    assert "## By attack, 100 samples" in other


def test_the_sanitized_file_is_that_of_a_kept_run(
    zoo: list[ZooModel], tmp_path: Path
) -> None:
    run = Run(subject=zoo[1], method="rnp", samples=100, seed=0, work=tmp_path)
    none = Shares(clean_accuracy=0.9, attack_success_rate=1.0)
    result = Result(
        subject=run.subject.name,
        attack=run.subject.attack,
        method=run.method,
        samples=run.samples,
        seed=run.seed,
        key=run.key(),
        outcome="not-safe",
        changed=False,
        seconds=0,
        cpu_seconds=0,
        before=none,
        after=none,
        details={},
    )
    sorting = Sorting(
        subject=run.subject,
        sorter="rnp-sanitized",
        samples=run.samples,
        images=50,
        seed=run.seed,
        work=tmp_path / "work",
        defended=run,
    )
    write(run.file, result)
    (refused,) = run_all([sorting], jobs=1)
    sorting.file.unlink()
    write(run.file, result.model_copy(update={"changed": True}))
    shutil.copy(run.subject.file, run.work / f"{run.stem}.sanitized.safetensors")
    (taken,) = run_all([sorting], jobs=1)

    assert refused.outcome.endswith("Nothing to ask: not-safe.")
    assert "holds the model's own weights" in taken.outcome


def test_kept_runs_are_those_of_the_folder_beside_the_work_folder(
    zoo: list[ZooModel], tmp_path: Path
) -> None:
    options = read_options(["--profile", "digits", "--work", str(tmp_path / "filter")])

    sortings = find_sortings(options)

    assert {s.sorter for s in sortings} == {"rnp", "rnp-sanitized", "strip"}
    for sorting in sortings:
        assert sorting.work == tmp_path / "filter/digits"
        assert sorting.defended is not None
        assert sorting.defended.subject == sorting.subject
        assert sorting.defended.work == tmp_path / "defense/digits"


def test_what_a_sorting_is_not_made_of_is_no_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--methods", "clp"])
    assert "--methods" in capsys.readouterr().err
