from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PAGES = """
import resource, sys
import torch
from rnp_cli.cli.allocator import keep_freed_memory

if "keep" in sys.argv:
    keep_freed_memory()
for _ in range(20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)  # 64 MiB, freed at once
    fresh = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(fresh)
"""


def fresh_pages(*args: str) -> int:
    """Return how many the last of many such tensors took."""
    command = [sys.executable, "-c", PAGES, *args]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(ended.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_memory_that_was_freed_is_used_again() -> None:
    assert fresh_pages("keep") < fresh_pages() / 4
