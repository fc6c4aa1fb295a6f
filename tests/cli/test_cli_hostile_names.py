"""Names out of a checkpoint, a folder and file names, through the whole command.

Each renderer's own tests say how it escapes; this says that none was forgotten.
"""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from rnp_cli.checkpoints import read_checkpoint
from rnp_cli.report.formats import SUFFIXES

ORDER = "abcdefghij"  # of the classes
COMMANDS = "::error::a ##[error]b ##vso[task]c "
MARKUP = "<script>alert(1)<!--<img src=x onerror=1>&amp; [l](http:e) {0} |`*_ \"'\\%0A"
CONTROL = "\x1b[31m\x1b]0;t\x07\r\n::error::d\x9b2J\u202e"
NAME = f"{COMMANDS}{MARKUP}{CONTROL}"
LAYER = f"x {COMMANDS}{MARKUP}"  # names that act by themselves are refused
LONG = f"{'x' * 30} {COMMANDS}{COMMANDS}"  # some line of a table begins with a command
FACTORY = """
from rnp_cli.architectures import identify_all
from rnp_cli.checkpoints import read_checkpoint
from torch import nn

class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        weights = read_checkpoint(MODEL).state_dict
        self.add_module(LAYER, identify_all(weights)[0].build())

    def forward(self, images):
        return getattr(self, LAYER)(images)
"""
QUICK = "[inversion]\nsteps = 1\n[recover]\nepochs = 2\n"
FUTILE = "[inversion]\nsteps = 1\n[recover]\nepochs = 1\nlearning_rate = 1e-9\n"


@pytest.fixture(scope="module")
def model(digits: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with names of an attacker's."""
    weights = read_checkpoint(digits.model).state_dict
    renamed = {f"{LAYER}.{key}": value for key, value in weights.items()}
    path = tmp_path_factory.mktemp("models") / "model.pt"
    torch.save(renamed, path)
    return path.rename(path.with_name(f"{NAME}.pt"))


@pytest.fixture(scope="module")
def clean(digits: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number, first in enumerate(ORDER):
        name = f"{first}{NAME if number % 2 else LONG}"
        shutil.copytree(digits.clean / str(number), folder / name)
    return folder


def obeyed(text: str) -> list[str]:
    """Return the lines that GitHub's runner, or Azure's, would take as commands."""
    lines = text.splitlines()
    return [x for x in lines if x.lstrip().startswith("::") or re.search(r"##\w*\[", x)]


def acting(text: str) -> set[str]:
    """Return the characters that would act on a terminal."""
    return {c for c in text if not c.isprintable() and c != "\n"}


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_no_output_of_a_run_lets_a_name_act(
    rnp: Any,
    digits: Any,
    model: Path,
    clean: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "quick.toml").write_text(QUICK)
    given = f"MODEL, LAYER = Path({str(digits.model)!r}), {LAYER!r}\n"
    (tmp_path / "net.py").write_text(f"from pathlib import Path\n{given}{FACTORY}")

    run = rnp(
        *("sanitize", model, "--clean-dir", clean, "--config", "quick.toml", "--ci"),
        *(
            "--method",
            "rnp",
            "--device",
            "cpu",
            "--bom",
            "-o",
            f"out{NAME}.safetensors",
        ),
        *("--arch", "net.py:Wrapped"),
    )

    assert run.code == 0, run.err
    assert run.out.count("alert(1)") > 2  # the model, a class, a layer
    assert acting(run.out + run.err) == set()
    assert obeyed(run.out) == []
    [told] = obeyed(run.err)
    assert told.startswith("::notice title=")
    [report] = tmp_path.glob("out*.report.json")
    for suffix in SUFFIXES:
        written = rnp("inspect", report, "-o", f"page{suffix}")
        assert written.code == 0
        assert obeyed(written.out + written.err) == []
    shown = rnp("inspect", report)
    assert acting(shown.out) == set()
    assert obeyed(shown.out) == []
    verified = rnp("verify", next(tmp_path.glob("out*.safetensors")))
    assert (verified.code, obeyed(verified.out), acting(verified.out)) == (0, [], set())

    texts = [p for p in tmp_path.iterdir() if p.suffix in {*SUFFIXES, ".md"}]
    assert len(texts) == len(SUFFIXES) + 4  # report, statement, BOM, summary
    for path in texts:
        text = path.read_text()
        assert acting(text) == set(), path.name
        if path.name.startswith(("page", "summary")):
            assert obeyed(text) == [], path.name
        if path.suffix in (".json", ".sarif"):
            json.loads(text)
    page = Elements((tmp_path / "page.html").read_text())
    assert [tag for tag, _ in page.found].count("script") == 1
    assert not any(name.startswith("on") for _, found in page.found for name in found)
    markdown = (tmp_path / "page.md").read_text()
    assert "<script" not in markdown
    assert "[l](" not in markdown
    assert markdown == (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize("output_format", ["table", "json"])
def test_no_output_of_a_scan_lets_a_name_act(
    rnp: Any, model: Path, monkeypatch: pytest.MonkeyPatch, output_format: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    run = rnp("scan", model, "--format", output_format)

    assert run.code == 0
    assert "alert" in run.out
    assert acting(run.out + run.err) == set()
    assert obeyed(run.out + run.err) == []


def test_a_refusal_lets_no_name_act(
    rnp: Any, digits: Any, clean: Path, tmp_path: Path
) -> None:
    few = tmp_path / f"few{NAME}"
    shutil.copytree(clean, few)
    shutil.rmtree(next(few.iterdir()))

    run = rnp("detect", digits.model, "--clean-dir", few)

    assert run.code == 3
    assert "9 classes" in run.err
    assert acting(run.out + run.err) == set()
    assert obeyed(run.out + run.err) == []


def test_no_name_of_an_older_output_acts(rnp: Any, digits: Any, tmp_path: Path) -> None:
    (tmp_path / "futile.toml").write_text(FUTILE + "[threshold]\nlargest_mask = 1e-6\n")
    old = tmp_path / f"{NAME}.safetensors"
    old.write_bytes(b"")

    run = rnp(
        *("sanitize", digits.model, "--clean-dir", digits.clean, "--method", "rnp"),
        *("--config", "futile.toml", "--device", "cpu", "--force"),
        *("-o", old.name),
    )

    assert run.code == 1
    assert "Of an earlier run, not of this: ::error::a" in run.err
    assert acting(run.out + run.err) == set()
    assert obeyed(run.out + run.err) == []
