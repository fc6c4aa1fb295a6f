from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_short_fuzzing_run_finds_nothing() -> None:
    script = Path(__file__).with_name("fuzz_reader.py")
    command = [sys.executable, str(script), "--count", "300", "--processes", "3"]

    ended = subprocess.run(command, capture_output=True, text=True)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    for expected in ("in process: read", "in process: refused", "payloads run: 0"):
        assert expected in ended.stdout
