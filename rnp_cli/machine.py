"""What the machine has, or leaves to the container that this runs in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_LIMITS = (  # of a container, by the version of its control groups
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def memory() -> int:
    """Return how many bytes the machine has, or the container; if unknown, no end."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", ()):
        return sys.maxsize
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in _LIMITS:
        limit = file.read_text().strip() if file.exists() else ""
        sizes += [int(limit)] if limit.isdigit() else []
    return min(sizes)
