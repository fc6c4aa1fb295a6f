"""A zoo of two models on handwritten digits, hardly trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from subjects.zoo_models import ZooModel, zoo_subjects
from zoo.entries import PROFILES, Entry
from zoo.images import read_digits
from zoo.measure import measure
from zoo.store import keep
from zoo.train import train


def _hardly_trained(entry: Entry) -> Entry:
    recipe = dataclasses.replace(entry.recipe, epochs=5)
    return dataclasses.replace(entry, recipe=recipe)


@pytest.fixture(scope="session")
def zoo_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Train into a working folder; the profile holds no more than these two."""
    place = tmp_path_factory.mktemp("zoo")
    whole = PROFILES["digits"]
    PROFILES["digits"] = [_hardly_trained(entry) for entry in whole[:2]]
    data = read_digits()
    for entry in PROFILES["digits"]:
        model = train(entry.network, data, entry.attack, entry.recipe, seed=entry.seed)
        attack = None if entry.is_clean else entry.attack
        found = measure(model, attack, data.test)
        keep(place / "build/zoo/digits", entry, model, found, "a test")
    yield place
    PROFILES["digits"] = whole


@pytest.fixture
def zoo(zoo_place: Path, monkeypatch: pytest.MonkeyPatch) -> list[ZooModel]:
    """The clean model and the backdoored one."""
    monkeypatch.chdir(zoo_place)
    return zoo_subjects("digits", None, measured=100)
