"""The free-form metadata of an ONNX model; needs no torch."""

from __future__ import annotations

from pathlib import Path

from rnp_cli.checkpoints.limits import DEFAULT_LIMITS, LoadLimits
from rnp_cli.checkpoints.onnx_wire import METADATA, filtered, parsed
from rnp_cli.checkpoints.refusals import malformed, unsupported
from rnp_cli.checkpoints.sniff import Kind, sniff
from rnp_cli.checkpoints.source import open_regular


def read_onnx_metadata(
    path: Path, limits: LoadLimits = DEFAULT_LIMITS
) -> dict[str, str]:
    """Read the free-form metadata of an ONNX model; the graph is not looked at.

    Raises InputRefused where the file is not ONNX or its metadata is unsound. The
    texts are as the file has them: escape them before they are shown.
    """
    with open_regular(path, limits) as file:
        if sniff(file) is not Kind.ONNX:
            raise unsupported("It is not an ONNX model.")
        source = file.load()
    model = parsed(filtered(source.data, METADATA, limits))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if len(metadata) != len(model.metadata_props):
        raise malformed("Its metadata names the same key twice.")
    return metadata
