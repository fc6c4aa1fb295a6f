"""What to say where matplotlib is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needing_matplotlib() -> Iterator[None]:
    """End with what to install where an import within fails for want of it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("matplotlib"):
            raise
        raise SystemExit(
            "Pictures need matplotlib: pip install 'rnp-cli[benchmarks]'"
        ) from error
