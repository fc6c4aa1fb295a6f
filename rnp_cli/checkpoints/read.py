"""The door: reads a model file of any known format, and executes none of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rnp_cli.checkpoints.checkpoint import Checkpoint
from rnp_cli.checkpoints.limits import DEFAULT_LIMITS, LoadLimits
from rnp_cli.checkpoints.masks import fold_masks
from rnp_cli.checkpoints.normalize import all_weights, find_weights
from rnp_cli.checkpoints.onnx import read_onnx
from rnp_cli.checkpoints.records import Contents
from rnp_cli.checkpoints.refusals import hostile, quote
from rnp_cli.checkpoints.safetensors import read_safetensors
from rnp_cli.checkpoints.sniff import Kind, sniff
from rnp_cli.checkpoints.source import Source, open_regular
from rnp_cli.checkpoints.tensors import make_tensors, refuse_broken_values
from rnp_cli.checkpoints.torch_legacy import read_torch_legacy
from rnp_cli.checkpoints.torch_zip import read_torch_zip
from rnp_cli.errors import InputRefused

Reader = Callable[[Source, LoadLimits], Contents]

READERS: dict[Kind, Reader] = {
    Kind.ZIP: read_torch_zip,
    Kind.PICKLE: read_torch_legacy,
    Kind.SAFETENSORS: read_safetensors,
    Kind.ONNX: read_onnx,
}

_NAMED = {".safetensors": Kind.SAFETENSORS, ".onnx": Kind.ONNX}


def read_checkpoint(path: Path, limits: LoadLimits = DEFAULT_LIMITS) -> Checkpoint:
    """Read the weights of an untrusted model file without executing any of it.

    Raises InputRefused, with a next step, for whatever is hostile, damaged, too
    large or unknown, and UsageError where there is no file.
    """
    try:
        return _read(path, limits)
    except InputRefused as refusal:
        message = f"{quote(path.name)} is refused. {refusal.message}"
        raise InputRefused(message, hint=refusal.hint) from refusal


def _read(path: Path, limits: LoadLimits) -> Checkpoint:
    with open_regular(path, limits) as file:
        kind = sniff(file)
        findings = _suffix_findings(path, kind)
        source = file.load()
    contents = READERS[kind](source, limits)
    if contents.graph is None:
        weights = find_weights(contents.root, limits)
    else:
        weights = all_weights(contents.root)
    state_dict = make_tensors(weights.tensors, contents, limits)
    refuse_broken_values(state_dict)
    mask_count = 0
    if contents.graph is None:
        state_dict, mask_count = fold_masks(state_dict)
    if mask_count:
        findings.append(f"folded {mask_count} pruning masks into their weights")
    return Checkpoint(
        state_dict=state_dict,
        format=contents.format,
        sha256=source.sha256,
        size=source.size,
        wrapper=weights.wrapper,
        prefix=weights.prefix,
        dropped=weights.dropped,
        findings=(*findings, *contents.findings, *weights.findings),
        graph=contents.graph,
    )


def _suffix_findings(path: Path, kind: Kind) -> list[str]:
    suffix = path.suffix.lower()
    named = _NAMED.get(suffix, kind)
    if named is Kind.SAFETENSORS and kind is not named:
        held = "an ONNX model" if kind is Kind.ONNX else "a pickle"
        raise hostile(f"It is named .safetensors but holds {held}.")
    if kind in _NAMED.values() and _NAMED.get(suffix) is not kind:
        return [f"the suffix {quote(path.suffix)} hides a file of kind {kind.value}"]
    if named is not kind:
        return [f"the suffix {quote(path.suffix)} is that of another kind of file"]
    return []
