"""Remove backdoors from neural networks: unlearn, recover, prune.

    from rnp_cli import SanitizeRequest, sanitize

    result = sanitize(SanitizeRequest(model="model.pt", clean_dir="data/"))
    result.report.accuracy_after

Importing this package does not import torch; using these names does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rnp_cli._version import __version__

if TYPE_CHECKING:
    from rnp_cli.architectures import identify
    from rnp_cli.checkpoints import read_checkpoint
    from rnp_cli.defense.rnp import DefenseConfig
    from rnp_cli.errors import ExitCode, RnpError
    from rnp_cli.pipeline import SanitizeRequest, SanitizeResult, sanitize
    from rnp_cli.report.sanitization import Report

_HOME = {
    "DefenseConfig": "rnp_cli.defense.rnp",
    "ExitCode": "rnp_cli.errors",
    "Report": "rnp_cli.report.sanitization",
    "RnpError": "rnp_cli.errors",
    "SanitizeRequest": "rnp_cli.pipeline",
    "SanitizeResult": "rnp_cli.pipeline",
    "identify": "rnp_cli.architectures",
    "read_checkpoint": "rnp_cli.checkpoints",
    "sanitize": "rnp_cli.pipeline",
}

__all__ = [
    "DefenseConfig",
    "ExitCode",
    "Report",
    "RnpError",
    "SanitizeRequest",
    "SanitizeResult",
    "__version__",
    "identify",
    "read_checkpoint",
    "sanitize",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
