"""Which files make up a model, and how what they hold is put together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from rnp_cli.checkpoints.hf_folder import HuggingFaceFolder, open_folder
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.refusals import listed, malformed
from rnp_cli.checkpoints.scan import Scan

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """One file, or those of a folder."""

    files: tuple[Path, ...]
    folder: HuggingFaceFolder | None = None


def find_files(path: Path, limits: LoadLimits) -> ModelFiles:
    """Find the files to read; raises InputRefused where a folder is unsound."""
    if not path.is_dir():
        return ModelFiles(files=(path,))
    folder = open_folder(path, limits)
    return ModelFiles(files=tuple(path / n for n in folder.files), folder=folder)


def joined(model: ModelFiles, scans: Sequence[Scan]) -> Scan:
    """Put the scans of a model's files together, in the order of the files.

    Raises InputRefused where they do not make up one model.
    """
    first, folder = scans[0], model.folder
    if folder is None:
        return first
    names = [file.name for file in model.files]
    refusal = next((scan.refusal for scan in scans if scan.refusal), None)
    if refusal is None:
        _check_parts(folder, scans, names)
    return replace(
        first,
        size=sum(scan.size for scan in scans),
        sha256=_digest(scans, names),
        format=f"Hugging Face folder of {first.format}",
        suffix_agrees=all(scan.suffix_agrees for scan in scans),
        tensors=_distinct(tensor for scan in scans for tensor in scan.tensors),
        dropped=_distinct(name for scan in scans for name in scan.dropped),
        globals=_distinct(named for scan in scans for named in scan.globals),
        findings=_distinct(
            (*folder.findings, *(f for scan in scans for f in scan.findings))
        ),
        refusal=refusal,
    )


def _check_parts(
    folder: HuggingFaceFolder, scans: Sequence[Scan], names: Sequence[str]
) -> None:
    """Refuse shards that do not hold exactly what the index puts into them."""
    if len({(scan.prefix, scan.wrapper) for scan in scans}) > 1:
        raise malformed("Its files hold their tensors in different ways.")
    found = [
        (scan.prefix + tensor.name, name)
        for scan, name in zip(scans, names, strict=True)
        for tensor in scan.tensors
    ]
    table = dict(found)
    if len(table) != len(found):
        raise malformed("Two of its files hold a tensor of the same name.")
    if folder.places and table != folder.places:
        odd = {name for name, _ in table.items() ^ folder.places.items()}
        raise malformed(
            f"Its index and its files disagree about: {listed(sorted(odd))}."
        )


def _digest(scans: Sequence[Scan], names: Sequence[str]) -> str:
    """Of one file its own; of several that of the list that ``sha256sum`` prints."""
    if len(scans) == 1:
        return scans[0].sha256
    lines = [f"{s.sha256}  {n}\n" for s, n in zip(scans, names, strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _distinct(values: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(values))
