from __future__ import annotations

import json
from pathlib import Path

import growth
import pytest
import speed
import torch
from speeding.authors import Images
from speeding.case import Timing
from speeding.classes import divided
from speeding.counting import BETWEEN, counting
from speeding.drawing import draw_growths
from speeding.growth import exponent
from speeding.models import with_skill
from subjects.zoo_models import ZooModel
from torch import Tensor, nn

from rnp_cli.data.classifier import Classifier, InputSpec
from rnp_cli.data.conventions import Convention
from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import clean_accuracy
from rnp_cli.device import Replayed
from rnp_cli.events import StageDone, StageStarted


def colored(count: int) -> Samples:
    """Noise around a color for each of ten classes: (count, 3, 32, 32)."""
    generator = torch.Generator().manual_seed(0)
    colors = torch.rand(10, 3, 1, 1, generator=generator)
    labels = torch.arange(count) % 10
    noise = 0.2 * torch.rand(count, 3, 32, 32, generator=generator)
    return Samples((0.8 * colors[labels] + noise).clamp(0, 1), labels)


def constant(value: float) -> Tensor:
    return torch.full((1, 3, 1, 1), value)


def test_a_run_is_timed_beside_its_floor_and_the_authors_way(
    zoo: list[ZooModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--profile", "digits", "--networks", zoo[1].name, "--samples", "100"]
    options += ["--repeats", "1", "--work", str(tmp_path / "work")]
    options += ["--results", str(tmp_path)]

    speed.main(options)

    page = (tmp_path / "speed-digits-cpu.md").read_text()
    assert page in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "speed-digits-cpu.json").read_text())
    timing = Timing.model_validate(row)
    assert 0 < timing.floor < timing.seconds
    assert timing.authors is not None
    assert timing.authors > 0
    assert timing.peak_mib > 100
    epochs, rest = divmod(timing.images["unlearn weights"], 70)
    assert epochs >= 1
    assert rest == 0
    assert timing.images["invert inputs"] > 1000
    assert "recover weights" not in timing.images
    assert "| unlearn |" in page
    speed.main(options)  # what was timed is kept
    again = json.loads((tmp_path / "speed-digits-cpu.json").read_text())
    assert again == [row]


def test_an_unknown_network_is_told(zoo: list[ZooModel], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="resnet50"):
        speed.main(["--profile", "digits", "--networks", "alexnet"])


def test_images_are_counted_by_stage_and_kind() -> None:
    spec = InputSpec(
        channels=3,
        size=(4, 4),
        fit="crop",
        convention=Convention(name="[0, 1]", scale=1, mean=(0.0,), std=(1.0,)),
    )
    classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), spec)
    images = torch.rand(5, 3, 4, 4)
    before = Classifier.forward

    with counting() as counts:
        classifier(images)
        counts.listen(StageStarted(stage="unlearn"))
        classifier(images[:3])
        classifier.requires_grad_(False)
        classifier(images[:2])
        with torch.no_grad():
            classifier(images[:1])
        counts.listen(StageDone(stage="unlearn", summary=""))

    assert Classifier.forward is before
    assert counts.images == {
        (BETWEEN, "weights"): 5,
        ("unlearn", "weights"): 3,
        ("unlearn", "inputs"): 2,
        ("unlearn", "forward"): 1,
    }


def test_what_a_gpu_replays_is_counted_as_what_it_has_recorded() -> None:
    launched: list[int] = []

    def work() -> None:
        if len(launched) < 2:  # later calls stand for replays: no network is called
            launched.append(5)
            counts.add("inputs", 5)

    replayed = Replayed(work, torch.device("cpu"))
    before = Replayed.__call__
    with counting() as counts:
        counts.listen(StageStarted(stage="invert"))
        for _ in range(7):
            replayed()

    assert counts.images == {("invert", "inputs"): 7 * 5}
    assert Replayed.__call__ is before


def test_a_network_of_random_weights_gets_a_skill() -> None:
    samples = colored(60)

    model = with_skill("wrn-16-1", samples, constant(0.5), constant(0.25))

    normalised = Samples((samples.images - 0.5) / 0.25, samples.labels)
    assert clean_accuracy(model, normalised) > 0.9


def test_the_authors_images_are_shifted_flipped_and_normalised() -> None:
    samples = colored(2)
    plain = Images(samples, constant(0.5), constant(0.25), is_augmented=False)
    augmented = Images(samples, constant(0.5), constant(0.25), is_augmented=True)

    image, label = plain[1]

    assert label == 1
    torch.testing.assert_close(
        image, (samples.images[1] - 0.5) / 0.25, atol=0.01, rtol=0
    )
    seen = {tuple(augmented[1][0].flatten().tolist()) for _ in range(8)}
    assert len(seen) > 4
    assert augmented[1][0].shape == image.shape


def timing(network: str, classes: int, samples: int, seconds: float) -> Timing:
    return Timing(
        network=network,
        classes=classes,
        samples=samples,
        method="rnp",
        device="cpu",
        number=0,
        key="",
        outcome="pruned",
        parameters={"wrn-16-1": 100, "resnet18": 10_000}[network],
        seconds=seconds,
        floor=seconds / 2,
        stages={},
        floors={},
        images={"unlearn weights": samples},
        authors=None,
        peak_mib=100,
    )


def test_growth_is_told_by_what_grows_and_drawn(tmp_path: Path) -> None:
    options = growth._options([])
    timings = [
        timing("wrn-16-1", 10, 500, 10.0),
        timing("wrn-16-1", 10, 5000, 100.0),
        timing("resnet18", 10, 500, 1000.0),
        timing("wrn-16-1", 50, 500, 10.0),
    ]

    growths = growth._growths(timings, options)
    page = growth.render(growths, "rnp")
    draw_growths(growths, tmp_path / "growth.png")

    assert "| samples | 500 | 5,000 | 1.00 | 1.00 |" in page
    assert "| parameters | 100 | 10,000 | 1.00 | 1.00 |" in page
    assert "| classes | 10 | 50 | 0.00 | 0.00 |" in page
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_exponents_are_slopes_of_logarithms() -> None:
    assert exponent([1, 10, 100], [3, 300, 30_000]) == pytest.approx(2)
    assert exponent([1, 2, 4], [5, 5, 5]) == pytest.approx(0)


def test_classes_are_divided_by_brightness() -> None:
    samples = colored(60)

    parts = divided(samples, 30)

    assert parts.labels.unique().tolist() == list(range(30))
    assert (parts.labels // 3).equal(samples.labels)
    brightness = samples.images.mean((1, 2, 3))
    darker, brighter = (brightness[parts.labels == n].mean() for n in (0, 2))
    assert darker < brighter
    with pytest.raises(ValueError, match="25 is no multiple of 10"):
        divided(samples, 25)
