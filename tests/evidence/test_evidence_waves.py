from __future__ import annotations

import math

import pytest
import torch

from rnp_cli.evidence.waves import Wave, waves

GRAY = torch.full((3, 2, 16, 12), 0.5)


def test_a_wave_has_its_cycles_and_its_strength() -> None:
    change = Wave(down=0, across=3, phase=0.0).as_change((2, 16, 12))

    row = change.change[1, 7]
    assert row[:3].tolist() == pytest.approx(
        [0, change.change.max().item(), 0], abs=1e-6
    )
    assert torch.allclose(row, row.roll(4), atol=1e-6)  # three times in twelve pixels
    assert torch.equal(change.change, row.expand(2, 16, 12))
    size = change.change.square().mean().sqrt().item()
    assert size == pytest.approx(Wave(1, 1, 0.0).size)


def test_a_wave_is_the_same_laid_on_and_as_a_trigger() -> None:
    wave = Wave(down=2, across=-1, phase=0.3)

    assert torch.equal(wave.as_change((2, 16, 12)).stamp(GRAY), wave.lay_on(GRAY))


def test_all_waves_differ() -> None:
    listed = waves(16, 12)

    drawn = torch.cat([w.drawn((1, 16, 12), torch.zeros(1)) for w in listed])
    assert len(listed) == 4 * (5 + 7 * 11)
    far = torch.cdist(drawn.flatten(1), drawn.flatten(1))
    assert far.fill_diagonal_(math.inf).min() > 0.1


def test_cycles_are_few_however_large_the_image() -> None:
    assert len(waves(224, 224)) == 4 * (8 + 8 * 17)
    cycles = {(w.down, w.across) for w in waves(3, 4)}
    assert cycles == {(0, 1), (1, -1), (1, 0), (1, 1)}
    assert waves(2, 2) == []


def test_neighbours_differ_a_little_in_phase() -> None:
    phases = [w.phase for w in Wave(1, 2, 0.0).neighbours()]

    assert phases == [15 / 16, 1 / 16]


def test_varied_waves_have_other_phases_and_are_stronger() -> None:
    wave = Wave(down=0, across=3, phase=0.0)
    images = torch.full((200, 1, 16, 12), 0.5)

    varied = wave.as_change((1, 16, 12)).vary(images, torch.Generator().manual_seed(0))

    row = varied[:, 0, 0] - 0.5
    assert torch.equal(varied - 0.5, row[:, None, None].expand_as(varied))
    turns = 2 * math.pi * 3 * torch.arange(12) / 12
    sine, cosine = (row @ turns.sin()) / 6, (row @ turns.cos()) / 6
    strength = (sine.square() + cosine.square()).sqrt() / (math.sqrt(2) * wave.size)
    assert 0.99 < strength.min() < 1.1
    assert 2.9 < strength.max() < 3.01
    phases = torch.atan2(cosine, sine)
    assert phases.min() < -3
    assert phases.max() > 3
