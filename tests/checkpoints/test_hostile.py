from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from corpus import HOSTILE, Hostile
from crafting import GOOD_LEGACY, GOOD_ZIP, entry, safetensors

from rnp_cli.checkpoints import read_checkpoint
from rnp_cli.checkpoints.examine import examine
from rnp_cli.checkpoints.limits import DEFAULT_LIMITS
from rnp_cli.checkpoints.source import open_regular
from rnp_cli.errors import InputRefused

GOOD_SAFETENSORS = safetensors({"fc.weight": entry()})
GOOD = {"zip": GOOD_ZIP, "legacy": GOOD_LEGACY, "safetensors": GOOD_SAFETENSORS}


def is_refused(path: Path) -> bool:
    """Read in this process: what is asserted is that nothing else is ever raised."""
    try:
        with open_regular(path, DEFAULT_LIMITS) as file:
            answer = examine(file, path.suffix, DEFAULT_LIMITS)
            return answer.scan.refusal is not None
    except InputRefused:
        return True


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
def test_hostile_file_is_refused(case: Hostile, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    marker, folder = tmp_path / "marker", tmp_path / "files"
    folder.mkdir()
    path = folder / f"model{case.suffix}"
    path.write_bytes(case.build(marker))
    started = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(InputRefused) as refusal:
        read_checkpoint(path)

    assert case.says in refusal.value.message
    assert refusal.value.hint
    assert refusal.value.message.isprintable()
    assert len(refusal.value.message) < 400
    assert not marker.exists()
    assert list(folder.iterdir()) == [path]
    assert time.monotonic() - started < 20
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 300_000  # kibibytes, here


@pytest.mark.parametrize("kind", GOOD)
def test_the_files_that_hostile_ones_are_made_of_are_read(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(GOOD[kind])

    assert list(read_checkpoint(path).state_dict) == ["fc.weight"]


@pytest.mark.parametrize("kind", GOOD)
def test_mutated_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    dice = random.Random(7)
    path = tmp_path / "model.pt"
    refused = 0
    for _ in range(400):
        content = bytearray(GOOD[kind])
        for _ in range(dice.randint(1, 4)):
            content[dice.randrange(len(content))] = dice.randrange(256)
        path.write_bytes(content[: dice.choice((None, dice.randrange(1, 400)))])
        refused += is_refused(path)

    assert refused > 200


@pytest.mark.parametrize("kind", GOOD)
def test_every_truncation_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    for length in range(len(GOOD[kind])):
        path.write_bytes(GOOD[kind][:length])
        assert is_refused(path)
