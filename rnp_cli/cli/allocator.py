"""Keep memory that was freed: fresh pages cost up to half of what is computed on them.

glibc takes blocks above 32 MiB from the system anew each time, and gives them back at
once. The system fills each fresh page with zeros. A batch's activations are such
blocks, and each layer of each step asks for some.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)
_NEVER = -1


def keep_freed_memory() -> None:
    """Let this process use freed memory again, where its allocator is glibc's.

    It holds what it needed at most until it ends: for a program, not for a library.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER)
