from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from rnp_cli.architectures import identify, load
from rnp_cli.checkpoints import read_checkpoint
from rnp_cli.checkpoints.header import read_safetensors_metadata
from rnp_cli.data.decode import decode
from rnp_cli.defense.repair import RepairConfig
from rnp_cli.defense.rnp import DefenseConfig
from rnp_cli.defense.score import logits_of
from rnp_cli.defense.threshold import ThresholdConfig
from rnp_cli.errors import InputRefused, OutputExists, UsageError
from rnp_cli.events import Event, StageDone, StageStarted
from rnp_cli.evidence.config import ClosingConfig, EvidenceConfig
from rnp_cli.evidence.triggers import FAMILIES
from rnp_cli.export.safetensors import tensors_sha256
from rnp_cli.pipeline import SanitizeRequest, SanitizeResult, sanitize
from rnp_cli.report.find import read_report, report_of_model
from rnp_cli.report.sanitization import OutputInfo, Report
from rnp_cli.verifying import verify

LOOK = ("unlearn", "margin", "invert")
STUCK_STAGES = ("read", "samples", *LOOK, "mistakes", "recover", "prune")


def assert_only_pruned_rows_differ(
    after: dict[str, Tensor], before: dict[str, Tensor], report: Report
) -> None:
    assert report.pruned
    assert after.keys() == before.keys()
    cut: dict[str, set[int]] = {}
    for channel in report.pruned:
        cut.setdefault(channel.layer, set()).add(channel.channel)
    for name, original in before.items():
        tensor = after[name]
        assert (tensor.shape, tensor.dtype) == (original.shape, original.dtype)
        rows = cut.get(name.rpartition(".")[0], set())
        for row in range(len(original) if original.ndim else 0):
            if row not in rows:
                assert torch.equal(tensor[row], original[row])
        if not original.ndim:
            assert torch.equal(tensor, original)
        if name.endswith(".weight"):
            assert all(not tensor[row].any() for row in rows)


def test_pruning_alone_leaves_all_but_the_pruned_rows_bit_equal(digits: Any) -> None:
    before = dict(read_checkpoint(digits.model).state_dict)

    result = sanitize(
        SanitizeRequest(
            model=digits.model, clean_dir=digits.clean, method="rnp", device="cpu"
        )
    )

    report = result.report
    assert (report.outcome, report.repair) == ("pruned", None)
    lost = report.holdout_before.value - report.holdout_after.value
    assert lost <= report.max_accuracy_drop + 1e-9
    assert result.state_dict is not None
    assert_only_pruned_rows_differ(result.state_dict, before, report)


def test_a_repair_moves_weights_but_neither_statistics_nor_pruned_rows(
    digits: Any,
) -> None:
    before = dict(read_checkpoint(digits.model).state_dict)
    unwilling = EvidenceConfig(closing=ClosingConfig(harder=9, usual=0.1))

    result = sanitize(
        SanitizeRequest(
            model=digits.model,
            clean_dir=digits.clean,
            defense=DefenseConfig(repair=RepairConfig(max_rounds=1)),
            evidence=unwilling,  # to call it done with
            device="cpu",
        )
    )

    report = result.report
    after = result.state_dict
    assert report.outcome == "repaired"
    assert after is not None
    assert report.pruned
    assert after.keys() == before.keys()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved
    assert not any("running" in name or "batches" in name for name in moved)
    for channel in report.pruned:
        assert not after[f"{channel.layer}.weight"][channel.channel].any()


def test_what_is_written_is_what_was_made(sanitized: Any) -> None:
    after = load_file(sanitized.model)
    assert sanitized.result.state_dict is not None
    assert tensors_sha256(sanitized.result.state_dict) == tensors_sha256(after)


def test_adversarial_masks_leave_all_but_the_pruned_rows_bit_equal(
    digits: Any,
) -> None:
    before = dict(read_checkpoint(digits.model).state_dict)
    heard: list[Event] = []

    result = sanitize(
        SanitizeRequest(
            model=digits.model, clean_dir=digits.clean, method="anp", device="cpu"
        ),
        listen=heard.append,
    )

    report = result.report
    assert (report.method, report.outcome) == ("anp", "pruned")
    assert report.verdict_after is not None
    assert report.success is not None
    assert report.success[1] < 0.2 < report.success[0]
    assert any(e.stage == "adversarial" for e in heard if isinstance(e, StageDone))
    assert result.state_dict is not None
    assert_only_pruned_rows_differ(result.state_dict, before, report)


@pytest.mark.parametrize("is_usual_enough", [False, True])
def test_what_a_distillation_leaves_decides_whether_it_is_written(
    digits: Any, is_usual_enough: bool
) -> None:
    before = dict(read_checkpoint(digits.model).state_dict)
    closing = ClosingConfig(usual=0.01 if is_usual_enough else 1.0)

    result = sanitize(
        SanitizeRequest(
            model=digits.model,
            clean_dir=digits.clean,
            method="nad",
            evidence=EvidenceConfig(closing=closing),
            device="cpu",
        )
    )

    report = result.report
    assert report.distillation is not None
    assert len(report.distillation.history) == DefenseConfig().distill.epochs
    assert (report.pruned, report.repair) == ((), None)
    assert report.pruning is not None
    assert report.pruning.pruned
    assert report.verdict_after is not None
    if not is_usual_enough:
        assert (report.outcome, report.left) == ("not-safe", ("triggers",))
        assert result.state_dict is None
        return
    assert report.outcome == "distilled"
    assert result.state_dict is not None
    moved = {n for n, t in result.state_dict.items() if not torch.equal(t, before[n])}
    assert moved
    assert not any("running" in name for name in moved)


def test_the_files_vouch_for_each_other(sanitized: Any, digits: Any) -> None:
    report = sanitized.result.report
    metadata = read_safetensors_metadata(sanitized.model)

    statement = sanitized.model.with_name("digits.intoto.json")
    assert sanitized.result.written == (sanitized.report, statement, sanitized.model)
    assert verify(sanitized.model).agrees
    assert read_report(sanitized.report) == report
    assert report_of_model(sanitized.model, metadata) == report
    digest = hashlib.sha256(digits.model.read_bytes()).hexdigest()
    assert metadata["rnp_input_sha256"] == report.model.sha256 == digest
    assert metadata["rnp_version"] == report.tool_version
    digest = tensors_sha256(load_file(sanitized.model))
    written = OutputInfo(
        file=sanitized.model.name, format="safetensors", tensors_sha256=digest
    )
    assert report.outputs == (written,)


def test_the_report_says_what_was_found_and_what_was_not_checked(
    sanitized: Any,
) -> None:
    report = sanitized.result.report

    images = report.samples.fit + report.samples.holdout
    assert report.samples.count == images == report.accuracy_before.samples
    assert report.accuracy_before.value > 0.9
    assert report.holdout_after.value > report.holdout_before.value - 0.05
    pruning = report.pruning
    assert all(channel.mask <= pruning.threshold for channel in report.pruned)
    assert [c.rank for c in report.pruned] == list(range(1, len(report.pruned) + 1))
    assert sum(pruning.target.shares) == pytest.approx(1)
    assert (report.verdict.level, report.verdict.target) == ("strong", 7)
    assert report.verdict_after.level != "strong"
    assert {trigger.family for trigger in report.triggers} == set(FAMILIES)
    assert report.tried
    for tried in report.tried:
        assert tried.success_before > 0.7
        assert tried.success_after < 0.2
        assert tried.size_after is None or tried.size_after > 2 * tried.size
        assert tried.pictures is not None
        image = Image.open(io.BytesIO(base64.b64decode(tried.pictures.on_gray)))
        assert image.size == (8, 8)
        samples = tried.pictures.samples
        assert len({sample.label for sample in samples}) == len(samples) == 3
        assert sum(sample.before == 7 for sample in samples) >= 2
        assert sum(sample.after == sample.label for sample in samples) >= 2
    assert report.unlearn.epochs[-1].clean_accuracy <= report.unlearn.floor
    assert set(report.run.stages) == {*STUCK_STAGES, "waves", "repair"} - {"mistakes"}
    assert any("attack success rate" in note for note in report.not_checked)


def test_the_examples_attack_is_gone_and_its_skill_is_not(
    sanitized: Any, digits: Any
) -> None:
    weights = dict(read_checkpoint(digits.model).state_dict)
    architecture = identify(weights)
    fed = sanitized.result.report.input
    paths = sorted(digits.triggered.glob("*/*"))
    images = decode(paths, channels=fed.channels, size=fed.size, fit=fed.fit)

    def calls_it_the_target(state_dict: dict[str, Tensor]) -> float:
        predicted = logits_of(load(architecture, state_dict), images).argmax(1)
        return (predicted == sanitized.result.report.verdict.target).float().mean()

    assert calls_it_the_target(weights) > 0.9
    assert calls_it_the_target(load_file(sanitized.model)) < 0.1


def test_one_seed_gives_one_file(sanitized: Any, digits: Any, tmp_path: Path) -> None:
    output = tmp_path / sanitized.model.name
    request = SanitizeRequest(
        model=digits.model, clean_dir=digits.clean, outputs=(output,), device="cpu"
    )

    again = sanitize(request)

    assert output.read_bytes() == sanitized.model.read_bytes()
    assert again.report.digest() == sanitized.result.report.digest()
    without_run = {"exclude": {"run"}}
    assert again.report.model_dump(**without_run) == (
        sanitized.result.report.model_dump(**without_run)
    )


@pytest.fixture(scope="module")
def parallel_half(
    digits: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Tensor], SanitizeResult, Path]:
    """The example as float16, saved by DataParallel inside a training state."""
    folder = tmp_path_factory.mktemp("half")
    half = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in read_checkpoint(digits.model).state_dict.items()
    }
    wrapped = {"net": {f"module.{name}": t for name, t in half.items()}, "epoch": 3}
    torch.save(wrapped, folder / "half.pth")
    request = SanitizeRequest(
        model=folder / "half.pth",
        clean_dir=digits.clean,
        outputs=(folder / "half.safetensors",),
        seed=1,
        device="cpu",
    )
    return half, sanitize(request), folder


def test_a_wrapped_half_precision_checkpoint_keeps_its_dtypes(
    parallel_half: tuple[dict[str, Tensor], SanitizeResult, Path],
) -> None:
    half, result, folder = parallel_half

    after = load_file(folder / "half.safetensors")

    assert after.keys() == half.keys()
    for name, original in half.items():
        kept = (original.shape, original.dtype)
        assert (after[name].shape, after[name].dtype) == kept
        assert not name.endswith(("running_mean", "running_var")) or torch.equal(
            after[name], original
        )
    assert (result.report.model.wrapper, result.report.model.prefix) == (
        "net",
        "module.",
    )


def test_a_sanitized_model_can_be_read_again(
    parallel_half: tuple[dict[str, Tensor], SanitizeResult, Path],
) -> None:
    _, result, folder = parallel_half

    again = read_checkpoint(folder / "half.safetensors")

    assert again.format == "safetensors"
    assert result.state_dict is not None
    assert tensors_sha256(again.state_dict) == tensors_sha256(result.state_dict)
    assert again.findings == ()


def test_no_safe_threshold_writes_the_report_alone(
    stuck_request: SanitizeRequest, tmp_path: Path
) -> None:
    result = sanitize(stuck_request)

    report_path = tmp_path / "model.report.json"
    assert result.state_dict is None
    assert result.written == (report_path,)
    assert list(tmp_path.iterdir()) == [report_path]
    report = read_report(report_path)
    assert report == result.report
    assert (report.outcome, report.pruned) == ("no-safe-threshold", ())
    assert report.pruning is not None
    assert report.pruning.threshold is None
    assert report.outputs == ()
    assert report.accuracy_after == report.accuracy_before


def test_without_an_output_nothing_is_written(
    stuck: dict[str, Any],
    digits: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(digits.model, tmp_path)
    digest = hashlib.sha256(digits.model.read_bytes()).digest()
    monkeypatch.chdir(tmp_path)

    result = sanitize(SanitizeRequest(**stuck | {"model": Path(digits.model.name)}))

    assert result.written == ()
    assert result.report.outcome == "no-safe-threshold"
    [only] = tmp_path.iterdir()
    assert hashlib.sha256(only.read_bytes()).digest() == digest


def test_images_without_labels_are_labelled_by_the_model(
    stuck: dict[str, Any], digits: Any, tmp_path: Path
) -> None:
    for path in digits.clean.glob("*/*"):
        shutil.copy(path, tmp_path / f"{path.parent.name}-{path.name}")

    stuck |= {"clean_dir": tmp_path, "labels": "from-model"}
    report = sanitize(SanitizeRequest(**stuck)).report

    assert report.samples.labels == "from-model"
    assert report.accuracy_before.value == 1.0
    assert any("own predictions" in note for note in report.not_checked)


def test_the_stages_are_announced_in_order(stuck: dict[str, Any]) -> None:
    heard: list[Event] = []

    sanitize(SanitizeRequest(**stuck), listen=heard.append)

    ends = [e for e in heard if isinstance(e, StageStarted | StageDone)]
    assert [(type(e), e.stage) for e in ends] == [
        (kind, stage) for stage in STUCK_STAGES for kind in (StageStarted, StageDone)
    ]


def refused(
    request: SanitizeRequest, kind: type[Exception], message: str
) -> list[Event]:
    heard: list[Event] = []
    with pytest.raises(kind, match=message):
        sanitize(request, listen=heard.append)
    return heard


@pytest.mark.parametrize(
    "name", ["model.sanitized.safetensors", "model.report.json", "model.intoto.json"]
)
def test_an_existing_output_is_refused_before_the_work(
    stuck_request: SanitizeRequest, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("mine")

    assert refused(stuck_request, OutputExists, name) == []
    assert (tmp_path / name).read_text() == "mine"


def test_force_replaces_an_existing_output(
    stuck_request: SanitizeRequest, tmp_path: Path
) -> None:
    (tmp_path / "model.report.json").write_text("old")

    sanitize(stuck_request.model_copy(update={"force": True}))

    report = json.loads((tmp_path / "model.report.json").read_text())
    assert report["outcome"] == "no-safe-threshold"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", ["model.safetensors", "link.safetensors"])
def test_the_checkpoint_is_never_the_output(
    stuck: dict[str, Any], tmp_path: Path, name: str, force: bool
) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"precious")
    (tmp_path / "link.safetensors").symlink_to(model)
    stuck |= {"model": model, "outputs": (tmp_path / name,), "force": force}

    assert refused(SanitizeRequest(**stuck), UsageError, "would replace") == []
    assert model.read_bytes() == b"precious"


def test_another_format_than_safetensors_cannot_be_written(
    stuck: dict[str, Any], tmp_path: Path
) -> None:
    request = SanitizeRequest(outputs=(tmp_path / "model.pt",), **stuck)

    assert refused(request, UsageError, r"\.safetensors") == []


def test_a_checkpoint_that_is_none_leaves_nothing(
    stuck_request: SanitizeRequest, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"not a checkpoint")

    request = stuck_request.model_copy(update={"model": broken})
    heard = refused(request, InputRefused, r"broken\.pt")

    assert heard == [StageStarted(stage="read")]
    assert list(tmp_path.iterdir()) == [broken]


SHARED = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.again = self.features
        self.head = nn.Linear(8 * 64, 10)

    def forward(self, images):
        return self.head(self.features(images).flatten(1))
"""


def test_a_shared_layer_is_cut_under_all_its_names(digits: Any, tmp_path: Path) -> None:
    source = tmp_path / "shared.py"
    source.write_text(SHARED)
    space: dict[str, Any] = {}
    exec(SHARED, space)
    torch.manual_seed(0)
    model = space["Net"]()
    images = [digits_of(digits.clean, number) for number in range(10)]
    labels = torch.arange(10).repeat_interleave(len(images[0]))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(model(torch.cat(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save(model.state_dict(), tmp_path / "shared.pt")

    result = sanitize(
        SanitizeRequest(
            model=tmp_path / "shared.pt",
            clean_dir=digits.clean,
            arch=f"{source}:Net",
            defense=DefenseConfig(threshold=ThresholdConfig(max_accuracy_drop=0.9)),
            method="rnp",
            when="always",
        )
    )

    assert result.state_dict is not None
    for name in ("1.weight", "1.bias", "0.weight"):
        first, second = (
            result.state_dict[f"{n}.{name}"] for n in ("features", "again")
        )
        assert torch.equal(first, second)


def digits_of(folder: Path, number: int) -> Tensor:
    paths = sorted((folder / str(number)).iterdir())
    return decode(paths, channels=1, size=(8, 8), fit="crop")
