"""Where the zoo's models lie: weights, the trigger's tensors, and a record of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from zoo.attack import Attack
from zoo.entries import Entry
from zoo.measure import Measured
from zoo.networks import Normalized, channels_last

MODELS = Path(__file__).parent / "models"  # the profile ``cpu``, committed


def describe(entry: Entry) -> dict[str, Any]:
    """Return everything that decides what the entry's training gives."""
    knobs = asdict(entry.attack)
    del knobs["tensors"]
    return {
        "attack": type(entry.attack).__name__,
        "attack_knobs": knobs,
        "network": entry.network,
        "recipe": asdict(entry.recipe),
        "seed": entry.seed,
    }


def keep(
    folder: Path, entry: Entry, model: Normalized, measured: Measured, command: str
) -> dict[str, Any]:
    """Write one model; its record comes last and says that the rest is there."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = _halved(model.network.state_dict())
    data = save(weights)
    _write(folder / f"{entry.name}.safetensors", data)
    if entry.attack.tensors:
        trigger = save(_halved(entry.attack.tensors))
        _write(folder / f"{entry.name}.trigger.safetensors", trigger)
    record = {
        "name": entry.name,
        **describe(entry),
        "clean_accuracy": round(measured.clean_accuracy, 4),
        "attack_success_rate": _rounded(measured.attack_success_rate),
        "sha256": hashlib.sha256(data).hexdigest(),
        "command": command,
    }
    _write(folder / f"{entry.name}.json", json.dumps(record, indent=2).encode() + b"\n")
    return record


def kept(folder: Path, entry: Entry) -> dict[str, Any] | None:
    """Return the entry's record, None where it is not there or of other knobs."""
    file = folder / f"{entry.name}.json"
    if not file.exists():
        return None
    record: dict[str, Any] = json.loads(file.read_text())
    same = json.loads(json.dumps(describe(entry)))
    return record if same.items() <= record.items() else None


def weights_file(folder: Path, entry: Entry) -> Path:
    """Return where the entry's weights lie."""
    return folder / f"{entry.name}.safetensors"


def load_model(folder: Path, entry: Entry) -> Normalized:
    """Read the entry's weights as they were kept."""
    return with_weights(entry, load(weights_file(folder, entry).read_bytes()))


def with_weights(entry: Entry, weights: Mapping[str, Tensor]) -> Normalized:
    """Put weights into the entry's network."""
    model = Normalized(entry.network)
    model.network.load_state_dict(
        {name: value.float() for name, value in weights.items()}, strict=False
    )
    return channels_last(model).eval()


def load_attack(folder: Path, entry: Entry) -> Attack | None:
    """Return the attack with what its trigger needs; None for a clean model."""
    if entry.is_clean:
        return None
    file = folder / f"{entry.name}.trigger.safetensors"
    if file.exists():
        tensors = load(file.read_bytes())
        entry.attack.restore({name: t.float() for name, t in tensors.items()})
    return entry.attack


def _halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value.detach().half().contiguous()
        for name, value in tensors.items()
        if value.is_floating_point()
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def _write(file: Path, data: bytes) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_bytes(data)
    partial.replace(file)
