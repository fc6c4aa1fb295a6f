"""The door: reads a model file of any known format, and executes none of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rnp_cli.checkpoints.anonymous_file import anonymous_file
from rnp_cli.checkpoints.checkpoint import Checkpoint
from rnp_cli.checkpoints.fold import fold
from rnp_cli.checkpoints.limits import DEFAULT_LIMITS, LoadLimits
from rnp_cli.checkpoints.model_files import find_files, joined
from rnp_cli.checkpoints.reader_process import read_in_process
from rnp_cli.checkpoints.refusals import over_limit, quote, unsupported
from rnp_cli.checkpoints.source import open_regular
from rnp_cli.checkpoints.tensors import map_tensors
from rnp_cli.errors import InputRefused

if TYPE_CHECKING:
    from torch import Tensor

    from rnp_cli.checkpoints.scan import Scan
    from rnp_cli.graph import OnnxGraph


def read_checkpoint(path: Path, limits: LoadLimits = DEFAULT_LIMITS) -> Checkpoint:
    """Read the weights of an untrusted model file without executing any of it.

    ``path`` is a file, or a Hugging Face folder. The file is read by a process of its
    own, without rights; this one takes the tensors from it.
    Raises InputRefused, with a next step, for whatever is hostile, damaged, too
    large or unknown, and UsageError where there is no file.
    """
    try:
        return _read(path, limits)
    except InputRefused as refusal:
        message = f"{quote(path.name)} is refused. {refusal.message}"
        raise InputRefused(message, hint=refusal.hint) from refusal


def _read(path: Path, limits: LoadLimits) -> Checkpoint:
    model = find_files(path, limits)
    scans: list[Scan] = []
    state_dict: dict[str, Tensor] = {}
    graph: OnnxGraph | None = None
    for part in model.files:
        scan, tensors, graph = _read_file(
            part, limits, follows_links=model.folder is None
        )
        if graph is not None and model.folder is not None:
            raise unsupported("Its weights are an ONNX model.", "Give that file alone.")
        scans.append(scan)
        if sum(scan.size for scan in scans) > limits.max_tensor_bytes:
            raise over_limit("Its files are too large together.")
        state_dict |= tensors
    scan = joined(model, scans)
    folded: list[str] = []
    if graph is None:
        state_dict, folded = fold(state_dict)
    return Checkpoint(
        state_dict=state_dict,
        format=scan.format,
        sha256=scan.sha256,
        size=scan.size,
        wrapper=scan.wrapper,
        prefix=scan.prefix,
        dropped=scan.dropped,
        findings=(*scan.findings, *folded),
        graph=graph,
    )


def _read_file(
    path: Path, limits: LoadLimits, *, follows_links: bool
) -> tuple[Scan, dict[str, Tensor], OnnxGraph | None]:
    with (
        open_regular(path, limits, follows_links=follows_links) as file,
        anonymous_file() as output,
    ):
        scan, graph = read_in_process(file, path.suffix, limits, tensors=output)
        if scan.refusal is not None:
            raise InputRefused(scan.refusal.message, hint=scan.refusal.hint)
        return scan, map_tensors(output, scan, limits), graph
