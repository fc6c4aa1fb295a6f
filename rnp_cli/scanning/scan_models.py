"""From paths to what the model files there are and hold; torch is not imported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rnp_cli._version import __version__
from rnp_cli.checkpoints.scan import Refusal, Scan
from rnp_cli.checkpoints.scan_model import scan_file
from rnp_cli.errors import UsageError
from rnp_cli.report.plain import plain
from rnp_cli.report.scan import (
    ArchitectureGuess,
    GlobalInfo,
    LayerInfo,
    RefusalInfo,
    ScannedModel,
    ScanReport,
    SecondOpinion,
    TensorInfo,
)
from rnp_cli.scanning.find_models import find_models
from rnp_cli.scanning.guess import guess
from rnp_cli.scanning.second_opinion import installed, opinions

_LINK_HINT = (
    "What it leads to was not scanned, so the folder was not scanned whole: give that "
    "path too, or copy the folder with `cp -rL` and scan the copy."
)


def scan_models(paths: Sequence[Path], *, second_opinion: bool = False) -> ScanReport:
    """Scan files, and the model files in folders, without executing any of them.

    A file that is refused is in the report, with the reason. With ``second_opinion``
    other scanners that are installed are asked as well, and decide nothing.
    Raises UsageError where a path leads nowhere, no path leads to a model file, or
    there is no other scanner to ask.
    """
    found = find_models(paths)
    others = installed() if second_opinion else {}
    models = [
        _described(path, _scan(path), opinions(path, others)) for path in found.models
    ]
    for path, reason in found.unreachable:
        refusal = Refusal(message=f"{reason}.", hint=_LINK_HINT)
        models.append(_described(path, replace(Scan.blank(), refusal=refusal)))
    return ScanReport(
        tool_version=__version__,
        files=tuple(models),
        without_models=tuple(plain(str(path)) for path in found.empty),
        other_files=found.other_files,
    )


def _scan(path: Path) -> Scan:
    try:
        return scan_file(path)
    except UsageError as error:  # it was there a moment ago, or is a dangling link
        refusal = Refusal(message=error.message, hint=error.hint)
        return replace(Scan.blank(), refusal=refusal)


def _described(
    path: Path, scan: Scan, second_opinions: tuple[SecondOpinion, ...] = ()
) -> ScannedModel:
    refusal = scan.refusal
    return ScannedModel(
        path=plain(str(path)),
        size=scan.size,
        sha256=scan.sha256,
        format=scan.format,
        suffix_agrees=scan.suffix_agrees,
        parameters=scan.parameters,
        layers=_layers(scan),
        wrapper=scan.wrapper,
        prefix=scan.prefix,
        dropped=scan.dropped,
        architecture=_architecture(scan),
        globals=tuple(
            GlobalInfo(name=named.name, severity=named.severity.value)
            for named in scan.globals
        ),
        findings=scan.findings,
        refusal=refusal and RefusalInfo(message=refusal.message, hint=refusal.hint),
        second_opinions=second_opinions,
    )


def _architecture(scan: Scan) -> ArchitectureGuess | None:
    if scan.refusal is not None:
        return None
    if scan.format == "ONNX":
        return ArchitectureGuess(names=(), reason="Its own: the file holds its graph.")
    return guess(scan.tensors)


def _layers(scan: Scan) -> tuple[LayerInfo, ...]:
    """Group tensors by all of their names but the last part, in file order."""
    groups: dict[str, list[TensorInfo]] = {}
    for tensor in scan.tensors:
        layer = tensor.name.rpartition(".")[0]
        groups.setdefault(layer, []).append(
            TensorInfo(
                name=tensor.name,
                dtype=tensor.dtype,
                shape=tensor.shape,
                nan=tensor.nan,
                inf=tensor.inf,
            )
        )
    return tuple(
        LayerInfo(
            name=name,
            parameters=sum(math.prod(tensor.shape) for tensor in tensors),
            tensors=tuple(tensors),
        )
        for name, tensors in groups.items()
    )
