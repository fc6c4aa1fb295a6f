"""Takes everything away from this process that reading bytes in memory does not need.

What a platform does not offer is left out; what it offers cannot be had back.
"""

from __future__ import annotations

import codecs
import ctypes
import sys
from dataclasses import dataclass

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_KILL = 9
_OPEN_FILES = 3  # stdin, stdout and stderr: nothing else can be opened, sockets neither
_CODECS = ("ascii", "latin-1", "raw-unicode-escape", "unicode-escape", "utf-8")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What the process may use up."""

    memory: int  # bytes of address space
    cpu_seconds: int
    file_bytes: int  # of any file that is written


def confine(bounds: Bounds) -> None:
    """Give up the network, new files, new processes, core dumps and more resources.

    The standard streams stay. Modules that are not imported by now never will be.
    """
    for codec in _CODECS:  # each would import its module on first use
        codecs.lookup(codec)
    if sys.platform == "linux":
        _leave_the_network()
    if sys.platform != "win32":
        _limit_resources(bounds)


def _leave_the_network() -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, _KILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)  # refused on some systems


def _limit_resources(bounds: Bounds) -> None:
    if sys.platform == "win32":
        return
    import resource

    wanted = {
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": bounds.cpu_seconds,
        "RLIMIT_FSIZE": bounds.file_bytes,
        "RLIMIT_NPROC": 0,
        "RLIMIT_NOFILE": _OPEN_FILES,
        "RLIMIT_AS": bounds.memory,
    }
    for name, value in wanted.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        _, hard = resource.getrlimit(kind)
        if hard not in (-1, resource.RLIM_INFINITY):
            value = min(value, hard)
        # The second more lets SIGXCPU come before SIGKILL, and tell what happened.
        top = value + 1 if name == "RLIMIT_CPU" and hard != value else value
        try:
            resource.setrlimit(kind, (value, top))
        except (OSError, ValueError):
            if name != "RLIMIT_AS":  # macOS does not limit address space
                raise
