"""Reads an open model file inertly and says what it is, in the reader's process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from io import FileIO

from rnp_cli.checkpoints.handover import write_tensors
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.named_code import NamedCode
from rnp_cli.checkpoints.normalize import all_weights, find_weights
from rnp_cli.checkpoints.records import Contents, TensorRecord
from rnp_cli.checkpoints.refusals import broken_values, hostile, quote
from rnp_cli.checkpoints.safetensors import read_safetensors
from rnp_cli.checkpoints.scan import Answer, Refusal, Scan, ScannedTensor
from rnp_cli.checkpoints.sniff import Kind, sniff, suffix_agrees
from rnp_cli.checkpoints.source import RegularFile, Source
from rnp_cli.checkpoints.tensor_bytes import refuse_large, tensor_bytes
from rnp_cli.checkpoints.torch_legacy import read_torch_legacy
from rnp_cli.checkpoints.torch_zip import read_torch_zip
from rnp_cli.checkpoints.values import count_broken, is_sound_bool
from rnp_cli.errors import InputRefused

Reader = Callable[[Source, LoadLimits, NamedCode], Contents]


def _read_onnx(source: Source, limits: LoadLimits, _: NamedCode) -> Contents:
    from rnp_cli.checkpoints.onnx import read_onnx  # needs more than Python brings

    return read_onnx(source, limits)


READERS: dict[Kind, Reader] = {
    Kind.ZIP: read_torch_zip,
    Kind.PICKLE: read_torch_legacy,
    Kind.SAFETENSORS: read_safetensors,
    Kind.ONNX: _read_onnx,
}


def examine(
    file: RegularFile, suffix: str, limits: LoadLimits, output: FileIO | None = None
) -> Answer:
    """Say what the file is, and write its tensors to ``output`` or look into them.

    Where they are written, whoever takes them checks the values; what is written is
    of no use where the scan has a refusal.
    """
    named = NamedCode()
    scan = Scan.blank(size=file.size)
    refusal: InputRefused | None = None
    graph = ""
    try:
        source = file.load()
        scan = replace(scan, sha256=source.sha256)
        kind = sniff(source)
        agrees = suffix_agrees(suffix, kind)
        findings = () if agrees else (f"the suffix {quote(suffix)} hides {kind.value}",)
        scan = replace(scan, format=kind.value, suffix_agrees=agrees, findings=findings)
        contents = READERS[kind](source, limits, named)
        scan = replace(scan, format=contents.format)
        if contents.graph is None:
            weights = find_weights(contents.root, limits)
        else:
            weights = all_weights(contents.root)
        scan = replace(
            scan,
            wrapper=weights.wrapper,
            prefix=weights.prefix,
            dropped=weights.dropped,
            findings=(
                *scan.findings,
                *contents.findings,
                *named.findings(),
                *weights.findings,
            ),
        )
        _refuse_disguise(suffix, kind)
        refuse_large(weights.tensors.values(), contents, limits)
        if output is None or named.refusal():
            tensors, broken = _counted(weights.tensors, contents)
        else:
            tensors, broken = _written(weights.tensors, contents, output), []
            if contents.graph is not None:
                graph = contents.graph.model_dump_json()
        scan = replace(scan, tensors=tensors)
        if broken:
            raise broken_values(broken)
    except InputRefused as error:
        refusal = error
    refusal = named.refusal() or refusal
    if refusal is not None:
        said = Refusal(message=refusal.message, hint=refusal.hint)
        scan = replace(scan, refusal=said)
    return Answer(scan=replace(scan, globals=named.listing()), graph=graph)


def _counted(
    records: Mapping[str, TensorRecord], contents: Contents
) -> tuple[tuple[ScannedTensor, ...], list[str]]:
    """Describe the tensors, and name those with values that no weight has."""
    tensors: list[ScannedTensor] = []
    broken: list[str] = []
    for name, record in records.items():
        values = tensor_bytes(record, contents)
        nan, inf = count_broken(record.dtype, values)
        if nan or inf or (record.dtype.name == "bool" and not is_sound_bool(values)):
            broken.append(name)
        tensors.append(_described(name, record, nan=nan, inf=inf))
    return tuple(tensors), broken


def _written(
    records: Mapping[str, TensorRecord], contents: Contents, output: FileIO
) -> tuple[ScannedTensor, ...]:
    """Describe the tensors without a look at their values, and write them."""
    write_tensors(output, records, contents)
    return tuple(_described(name, record) for name, record in records.items())


def _described(
    name: str, record: TensorRecord, *, nan: int = 0, inf: int = 0
) -> ScannedTensor:
    return ScannedTensor(
        name=name, dtype=record.dtype.name, shape=record.size, nan=nan, inf=inf
    )


def _refuse_disguise(suffix: str, kind: Kind) -> None:
    if suffix.lower() == ".safetensors" and kind is not Kind.SAFETENSORS:
        held = "an ONNX model" if kind is Kind.ONNX else "a pickle"
        raise hostile(f"It is named .safetensors but holds {held}.")
