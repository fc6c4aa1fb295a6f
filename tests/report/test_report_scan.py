from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnp_cli.report.scan import (
    ArchitectureGuess,
    GlobalInfo,
    LayerInfo,
    RefusalInfo,
    ScannedModel,
    ScanReport,
    TensorInfo,
)
from rnp_cli.report.scan_terminal import render_scan

Rendered = Callable[..., str]
HOSTILE = "\n\x1b[31m[red]x[/red]\x1b]0;owned\x07\r\x08\x9b2J\u202e[link=http://e]y"


def model(**changes: Any) -> ScannedModel:
    return ScannedModel(
        path="model.pt",
        size=10,
        sha256="0" * 64,
        format="PyTorch zip",
        suffix_agrees=True,
        parameters=4,
        layers=(layer("fc"),),
        wrapper="",
        prefix="",
        dropped=(),
        architecture=None,
        globals=(),
        findings=(),
        refusal=None,
    ).model_copy(update=changes)


def layer(name: str, **changes: Any) -> LayerInfo:
    tensor = TensorInfo(
        name=f"{name}.weight", dtype="float32", shape=(2, 2), nan=0, inf=0
    )
    return LayerInfo(
        name=name, parameters=4, tensors=(tensor.model_copy(update=changes),)
    )


def report(*models: ScannedModel) -> ScanReport:
    return ScanReport(tool_version="1", files=models, other_files=0)


def test_a_long_list_ends_with_what_is_left_out(rendered: Rendered) -> None:
    text = rendered(render_scan(report(model(layers=tuple(map(layer, "ab" * 50))))))

    shown = [line for line in text.splitlines() if "weight 2x2" in line]
    assert 0 < len(shown) < 100
    assert f"{100 - len(shown)} more layers" in text


def test_broken_tensors_are_named(rendered: Rendered) -> None:
    text = rendered(render_scan(report(model(layers=(layer("fc", nan=1),)))))

    assert "NaN or infinite" in text


def test_a_refusal_says_what_to_do_next(rendered: Rendered) -> None:
    refusal = RefusalInfo(message="It is a page.", hint="Download it again.")

    text = rendered(render_scan(report(model(refusal=refusal), model())))

    assert "Download it again." in text
    assert "2 scanned, 1 refused." in text


def test_texts_from_files_act_on_nothing(rendered: Rendered) -> None:
    hostile = model(
        path=HOSTILE,
        format=HOSTILE,
        layers=(layer(HOSTILE),),
        wrapper=HOSTILE,
        prefix=HOSTILE,
        dropped=(HOSTILE,),
        architecture=ArchitectureGuess(names=(), reason=HOSTILE),
        globals=(GlobalInfo(name=HOSTILE, severity="unknown"),),
        findings=(HOSTILE,),
        refusal=RefusalInfo(message=HOSTILE, hint=HOSTILE),
    )

    text = rendered(render_scan(report(hostile)))

    assert all(c.isprintable() or c == "\n" for c in text)
    assert text.count("[red]") >= 8  # shown as it is, not read as markup
