"""The short corridor: find, scan, guess, report; torch is not imported on it."""

from __future__ import annotations

from rnp_cli.scanning.scan_models import scan_models

__all__ = ["scan_models"]
