"""The only room that opens model files; it executes nothing that they hold."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnp_cli.checkpoints.checkpoint import Checkpoint
    from rnp_cli.checkpoints.fold import fold_shapes
    from rnp_cli.checkpoints.header import read_safetensors_metadata
    from rnp_cli.checkpoints.limits import LoadLimits
    from rnp_cli.checkpoints.onnx_metadata import read_onnx_metadata
    from rnp_cli.checkpoints.read import read_checkpoint
    from rnp_cli.checkpoints.scan import Scan
    from rnp_cli.checkpoints.scan_model import scan_file
    from rnp_cli.checkpoints.torch_export_metadata import read_exported_metadata
    from rnp_cli.checkpoints.written import WrittenModel, read_written_model

__all__ = [
    "Checkpoint",
    "LoadLimits",
    "Scan",
    "WrittenModel",
    "fold_shapes",
    "read_checkpoint",
    "read_exported_metadata",
    "read_onnx_metadata",
    "read_safetensors_metadata",
    "read_written_model",
    "scan_file",
]

_HOME = {
    "Checkpoint": "rnp_cli.checkpoints.checkpoint",
    "LoadLimits": "rnp_cli.checkpoints.limits",
    "Scan": "rnp_cli.checkpoints.scan",
    "WrittenModel": "rnp_cli.checkpoints.written",
    "fold_shapes": "rnp_cli.checkpoints.fold",
    "read_checkpoint": "rnp_cli.checkpoints.read",
    "read_exported_metadata": "rnp_cli.checkpoints.torch_export_metadata",
    "read_onnx_metadata": "rnp_cli.checkpoints.onnx_metadata",
    "read_safetensors_metadata": "rnp_cli.checkpoints.header",
    "read_written_model": "rnp_cli.checkpoints.written",
    "scan_file": "rnp_cli.checkpoints.scan_model",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use: headers can be read without torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
