from __future__ import annotations

from pathlib import Path

import pytest

from rnp_cli import machine

MIB = 2**20


def test_the_memory_is_the_machines_or_a_containers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    second, first = tmp_path / "memory.max", tmp_path / "limit_in_bytes"
    monkeypatch.setattr(machine, "_LIMITS", (second, first))
    whole = machine.memory()
    assert whole > 2**28

    second.write_text("max\n")
    first.write_text("9223372036854771712\n")
    assert machine.memory() == whole
    second.write_text(f"{2 * MIB}\n")
    assert machine.memory() == 2 * MIB
    first.write_text(f"{MIB}\n")
    assert machine.memory() == MIB
