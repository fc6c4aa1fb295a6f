"""Which models the paths of a scan lead to; nothing is opened here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rnp_cli.checkpoints.limits import DEFAULT_LIMITS
from rnp_cli.checkpoints.model_files import find_files
from rnp_cli.errors import InputRefused, UsageError
from rnp_cli.report.plain import plain

SUFFIXES = frozenset(
    {
        ".pt",
        ".pth",
        ".tar",
        ".th",
        ".ckpt",
        ".bin",
        ".pkl",
        ".pickle",
        ".p",
        ".joblib",
        ".pt2",
        ".ptc",
        ".ts",
        ".safetensors",
        ".onnx",
        ".h5",
        ".keras",
        ".gguf",
        ".tflite",
    }
)
_CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_MARKS = frozenset({*_WEIGHTS, *(f"{name}.index.json" for name in _WEIGHTS)})


@dataclass(frozen=True, kw_only=True)
class Found:
    """What there is to scan, and what stands in the way of scanning all."""

    models: tuple[Path, ...]
    unreachable: tuple[tuple[Path, str], ...]  # with the reason
    empty: tuple[Path, ...]  # folders that were given and hold no model file
    other_files: int


def find_models(paths: Sequence[Path]) -> Found:
    """Look through folders; a folder that is a Hugging Face model is one model.

    Links inside of folders are not followed but reported. Raises UsageError where a
    path leads nowhere, or no path leads to a model file.
    """
    models: list[Path] = []
    unreachable: list[tuple[Path, str]] = []
    empty: list[Path] = []
    others = 0
    for path in paths:
        known = len(models) + len(unreachable)
        if not os.path.lexists(path):
            raise UsageError(
                f"There is no file {plain(str(path))}.", hint="Check the path."
            )
        if not path.is_dir():
            models.append(path)
            continue
        for folder, files in _walk(path, unreachable):
            inside = _model_of(folder, files)
            models += [folder] if inside is not None else []
            for name in files:
                if Path(name).suffix.lower() not in SUFFIXES:
                    others += 1
                elif (folder / name).is_symlink():
                    unreachable.append((folder / name, "It is a symbolic link"))
                elif name not in (inside or ()):
                    models.append(folder / name)
        empty += [path] if len(models) + len(unreachable) == known else []
    if not models and not unreachable:
        named = " or ".join(plain(str(path)) for path in paths)
        raise UsageError(
            f"There is no model file in {named}.",
            hint=f"Files are taken by suffix: {' '.join(sorted(SUFFIXES))}. Give a "
            "file of another name by its own path.",
        )
    return Found(
        models=tuple(dict.fromkeys(models)),
        unreachable=tuple(unreachable),
        empty=tuple(dict.fromkeys(empty)),
        other_files=others,
    )


def _walk(
    top: Path, unreachable: list[tuple[Path, str]]
) -> Iterator[tuple[Path, list[str]]]:
    def note(error: OSError) -> None:
        reason = f"It cannot be listed ({error.strerror})"
        unreachable.append((Path(error.filename), reason))

    for root, folders, files in os.walk(top, onerror=note):
        folders.sort()
        folder = Path(root)
        for name in folders:
            if (folder / name).is_symlink():
                unreachable.append((folder / name, "It is a symbolic link to a folder"))
        yield folder, sorted(files)


def _model_of(folder: Path, files: list[str]) -> frozenset[str] | None:
    """Name the weight files of a Hugging Face model; None where it is none.

    A broken one has no weight files: it is refused as a whole, and each file is
    scanned by itself.
    """
    if _CONFIG not in files or _MARKS.isdisjoint(files):
        return None
    try:
        found = find_files(folder, DEFAULT_LIMITS)
    except (InputRefused, UsageError):
        return frozenset()
    return frozenset(file.name for file in found.files)
