"""Seeded mutations of model files, below the checksums and above them."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Mutation = Callable[[bytearray, random.Random, bytes], None]
NUMBERS = tuple(
    struct.pack(form, value)
    for form, value in (
        ("<I", 0),
        ("<I", 0x7FFFFFFF),
        ("<I", 0xFFFFFFFF),
        ("<q", -1),
        ("<q", 1 << 40),
        ("<q", (1 << 63) - 1),
        ("<H", 0xFFFF),
    )
)
OPCODES = (
    b"()]}[.0NR\x81\x85\x86\x87\x88\x89\x8a\x8c\x8f\x90\x93\x94\x95QPbcostuaehjgqrpBCX"
)


@dataclass(frozen=True)
class Seed:
    """A file to begin with."""

    content: bytes
    suffix: str


def flip(content: bytearray, dice: random.Random, other: bytes) -> None:
    for _ in range(dice.choice((1, 1, 2, 4))):
        content[dice.randrange(len(content))] = dice.randrange(256)


def opcode(content: bytearray, dice: random.Random, other: bytes) -> None:
    for _ in range(dice.choice((1, 1, 2))):
        at = dice.randrange(len(content))
        content[at : at + dice.randint(0, 1)] = bytes([dice.choice(OPCODES)])


def number(content: bytearray, dice: random.Random, other: bytes) -> None:
    value = dice.choice(NUMBERS)
    at = dice.randrange(len(content))
    content[at : at + len(value)] = value


def cut(content: bytearray, dice: random.Random, other: bytes) -> None:
    at = dice.randrange(len(content))
    del content[at : at + dice.choice((1, 4, 16, 1 << 20))]


def repeat(content: bytearray, dice: random.Random, other: bytes) -> None:
    at = dice.randrange(len(content))
    content[at:at] = content[at : at + dice.randint(1, 64)] * dice.choice((1, 2, 500))


def splice(content: bytearray, dice: random.Random, other: bytes) -> None:
    at, start = dice.randrange(len(content)), dice.randrange(max(1, len(other)))
    length = dice.randint(1, 200)
    content[at : at + dice.choice((0, length))] = other[start : start + length]


MUTATIONS: Sequence[Mutation] = (flip, opcode, number, cut, repeat, splice)


def mutated(seed: Seed, other: Seed, dice: random.Random) -> Seed:
    """Mutate the file's bytes, or what its container holds, which stays sound."""
    inside = _pickle_of(seed.content) if dice.random() < 0.8 else None
    if inside is not None:
        changed = _changed(inside[1], _pickle_of(other.content) or ("", b""), dice)
        return Seed(_with_pickle(seed.content, inside[0], changed), seed.suffix)
    if seed.suffix == ".safetensors" and dice.random() < 0.7:
        length = int.from_bytes(seed.content[:8], "little")
        if 8 + length <= len(seed.content):
            header = _changed(seed.content[8 : 8 + length], ("", other.content), dice)
            rest = seed.content[8 + length :]
            return Seed(struct.pack("<Q", len(header)) + header + rest, seed.suffix)
    return Seed(_changed(seed.content, ("", other.content), dice), seed.suffix)


def _changed(content: bytes, other: tuple[str, bytes], dice: random.Random) -> bytes:
    bytes_ = bytearray(content)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        if bytes_:
            dice.choice(MUTATIONS)(bytes_, dice, other[1])
    return bytes(bytes_[: 4 << 20])


def _pickle_of(content: bytes) -> tuple[str, bytes] | None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                if name.endswith("data.pkl"):
                    return name, archive.read(name)
    except (zipfile.BadZipFile, RuntimeError, OSError, ValueError, EOFError):
        pass
    return None


def _with_pickle(content: bytes, name: str, pickle: bytes) -> bytes:
    """Write the archive anew, with sound checksums around the new pickle."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as source,
        zipfile.ZipFile(buffer, "w") as target,
    ):
        for item in dict.fromkeys(source.namelist()):
            try:
                body = pickle if item == name else source.read(item)
            except (zipfile.BadZipFile, RuntimeError):
                body = b""
            target.writestr(item, body)
    return buffer.getvalue()


def seeds(folder: Path) -> list[Seed]:
    """Sound files as torch writes them, crafted ones, and the whole hostile corpus."""
    import warnings

    import torch
    from benign import BENIGN
    from corpus import HOSTILE
    from crafting import GOOD_LEGACY, GOOD_ZIP, entry, safetensors
    from onnx_crafting import classifier

    found = [Seed(GOOD_ZIP, ".pt"), Seed(GOOD_LEGACY, ".pt")]
    tensors = {"a.weight": entry(), "b": entry(16, 32), "__metadata__": {"k": "v"}}
    found.append(Seed(safetensors(tensors, bytes(32)), ".safetensors"))
    found += [Seed(classifier().SerializeToString(), ".onnx")] * 3
    for case in BENIGN:
        for is_zip in (True, False):
            buffer = io.BytesIO()
            with warnings.catch_warnings(action="ignore"):
                made = case.make()
                torch.save(made, buffer, _use_new_zipfile_serialization=is_zip)
            found.append(Seed(buffer.getvalue(), ".pt"))
    sound = found * 8  # more often than the hostile ones: they lead further in
    marker = folder / "marker"
    hostile = [Seed(case.build(marker), case.suffix) for case in HOSTILE]
    return [*sound, *(seed for seed in hostile if 0 < len(seed.content) < 1 << 16)]


def describe(seed: Seed) -> str:
    """A few bytes to recognize a file by."""
    return json.dumps([seed.suffix, len(seed.content), seed.content[:24].hex()])
