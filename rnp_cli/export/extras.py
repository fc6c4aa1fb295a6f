"""Libraries that some formats need, and that are installed only on request."""

from __future__ import annotations

import importlib
from typing import Any

from rnp_cli.errors import UsageError


def imported(module: str, *, extra: str) -> Any:
    """Import a module; raise UsageError that names its extra where it is absent."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{module} is not installed.",
            hint=f"pip install 'rnp-cli[{extra}]'",
        ) from error
