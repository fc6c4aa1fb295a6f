"""Reads an open model file inertly and says what it is, in the reader's process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from io import FileIO

from rnp_cli.checkpoints.handover import each_tensor, write, write_header
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.named_code import NamedCode
from rnp_cli.checkpoints.normalize import find_weights
from rnp_cli.checkpoints.records import Contents, TensorRecord
from rnp_cli.checkpoints.refusals import hostile, quote, unsupported
from rnp_cli.checkpoints.safetensors import read_safetensors
from rnp_cli.checkpoints.scan import Refusal, Scan, ScannedTensor
from rnp_cli.checkpoints.sniff import Kind, sniff, suffix_agrees
from rnp_cli.checkpoints.source import RegularFile, Source
from rnp_cli.checkpoints.tensor_bytes import refuse_large
from rnp_cli.checkpoints.torch_legacy import read_torch_legacy
from rnp_cli.checkpoints.torch_zip import read_torch_zip
from rnp_cli.checkpoints.values import count_broken, is_sound_bool
from rnp_cli.errors import InputRefused

Reader = Callable[[Source, LoadLimits, NamedCode], Contents]

READERS: dict[Kind, Reader] = {
    Kind.ZIP: read_torch_zip,
    Kind.PICKLE: read_torch_legacy,
    Kind.SAFETENSORS: read_safetensors,
}
_SHOWN = 5


def examine(
    file: RegularFile, suffix: str, limits: LoadLimits, output: FileIO | None = None
) -> Scan:
    """Say what the file is; write its tensors to ``output`` unless it is refused.

    What ``output`` holds is of no use where the scan has a refusal.
    """
    named = NamedCode()
    scan = Scan.blank(size=file.size)
    refusal: InputRefused | None = None
    try:
        source = file.load()
        scan = replace(scan, sha256=source.sha256)
        kind = sniff(source)
        agrees = suffix_agrees(suffix, kind)
        findings = () if agrees else (f"the suffix {quote(suffix)} hides {kind.value}",)
        scan = replace(scan, format=kind.value, suffix_agrees=agrees, findings=findings)
        contents = READERS[kind](source, limits, named)
        scan = replace(scan, format=contents.format)
        weights = find_weights(contents.root, limits)
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
        refusal = named.refusal()
        tensors, broken = _hand_over(
            weights.tensors, contents, limits, None if refusal else output
        )
        scan = replace(scan, tensors=tensors)
        _refuse_disguise(suffix, kind)
        _refuse_broken(broken)
    except InputRefused as error:
        refusal = error
    refusal = named.refusal() or refusal
    if refusal is not None:
        said = Refusal(message=refusal.message, hint=refusal.hint)
        scan = replace(scan, refusal=said)
    return replace(scan, globals=named.listing())


def _hand_over(
    records: Mapping[str, TensorRecord],
    contents: Contents,
    limits: LoadLimits,
    output: FileIO | None,
) -> tuple[tuple[ScannedTensor, ...], list[str]]:
    """Count what is broken in each tensor, and write it; names of the broken too."""
    refuse_large(records.values(), contents, limits)
    if output is not None:
        write_header(output, records)
    counts: dict[str, tuple[int, int]] = {}
    broken: list[str] = []
    for name, values in each_tensor(records, contents):
        dtype = records[name].dtype
        counts[name] = count_broken(dtype, values)
        if any(counts[name]) or (dtype.name == "bool" and not is_sound_bool(values)):
            broken.append(name)
        if output is not None and not broken:
            write(output, values)
    tensors = tuple(
        ScannedTensor(
            name=name,
            dtype=record.dtype.name,
            shape=record.size,
            nan=counts[name][0],
            inf=counts[name][1],
        )
        for name, record in records.items()
    )
    return tensors, broken


def _refuse_disguise(suffix: str, kind: Kind) -> None:
    if suffix.lower() == ".safetensors" and kind is not Kind.SAFETENSORS:
        raise hostile("It is named .safetensors but holds a pickle.")


def _refuse_broken(names: list[str]) -> None:
    if names:
        shown = ", ".join(quote(name) for name in names[:_SHOWN])
        raise unsupported(
            f"{len(names)} tensors hold NaN, infinite or impossible values: {shown}.",
            "Such a model computes nothing useful. Ask for a checkpoint from before "
            "its training diverged.",
        )
