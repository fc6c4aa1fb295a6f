"""Reads the table of contents of a Hugging Face folder; its code is never looked at.

Weights are ``model.safetensors`` or ``pytorch_model.bin``, whole or in shards that an
index names. Nothing outside the folder is opened: no links, no paths in names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.refusals import (
    hostile,
    malformed,
    over_limit,
    quote,
    unsupported,
)
from rnp_cli.checkpoints.source import open_regular

_WHOLE = ("model.safetensors", "pytorch_model.bin")
_MAX_JSON_BYTES = 16 << 20
_MAX_NAME = 255
_SAYS = ("model_type", "architecture", "architectures", "num_classes", "num_labels")


@dataclass(frozen=True, kw_only=True)
class HuggingFaceFolder:
    """The weight files by name, and which tensor an index puts into which file."""

    files: tuple[str, ...]
    places: Mapping[str, str] = field(default_factory=dict)  # empty without an index
    findings: tuple[str, ...] = ()


def open_folder(path: Path, limits: LoadLimits) -> HuggingFaceFolder:
    """Find the weight files of a folder; raises InputRefused."""
    findings = tuple(_said(_read_json(path / "config.json", limits)))
    for whole in _WHOLE:
        index = _read_json(path / f"{whole}.index.json", limits)
        places: dict[str, str] = {}
        if _is_there(path / whole):
            files: tuple[str, ...] = (whole,)
        elif index:
            places = _places(index, Path(whole).suffix)
            files = tuple(dict.fromkeys(places.values()))
        else:
            continue
        if len(files) > limits.max_shards:
            raise over_limit(f"It is made of {len(files):,} files.")
        for name in files:
            if not _is_there(path / name):
                raise malformed(f"Its file {quote(name)} is missing.")
        return HuggingFaceFolder(files=files, places=places, findings=findings)
    raise unsupported(
        "It is a directory without model.safetensors or pytorch_model.bin.",
        "Give the path of one model file, or of a Hugging Face folder.",
    )


def _is_there(path: Path) -> bool:
    if path.is_symlink():
        raise unsupported(
            f"{quote(path.name)} in it is a symbolic link, which may lead anywhere.",
            "If you trust where it leads, copy the folder with `cp -rL` and give the "
            "copy.",
        )
    return path.exists()


def _read_json(path: Path, limits: LoadLimits) -> dict[str, object]:
    """Read a small JSON object; an empty one where there is no file."""
    if not _is_there(path):
        return {}
    small = replace(limits, max_file_bytes=_MAX_JSON_BYTES)
    with open_regular(path, small, follows_links=False) as file:
        text = file.read_at(0, file.size)
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        raise malformed(f"{quote(path.name)} in it is not a JSON object.")
    return decoded


def _places(index: Mapping[str, object], suffix: str) -> dict[str, str]:
    """Check the index's table of tensors and files, whose names must be plain."""
    table = index.get("weight_map")
    if not isinstance(table, dict) or not table:
        raise malformed("Its index has no table of tensors.")
    for name in set(map(str, table.values())):
        if (
            not name.isprintable()
            or not name.endswith(suffix)
            or name.startswith(".")
            or any(sign in name for sign in "/\\:")
            or len(name) > _MAX_NAME
        ):
            raise hostile(f"Its index names the file “{quote(name)}”.")
    return {tensor: str(name) for tensor, name in table.items()}


def _said(config: Mapping[str, object]) -> Iterator[str]:
    """Repeat what the configuration claims about the model."""
    for key in _SAYS:
        value = config.get(key)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str | int):
            yield f"config.json says: {key} {quote(value)}"
    if "auto_map" in config:
        yield "config.json asks for code from elsewhere (never fetched, never run)"
