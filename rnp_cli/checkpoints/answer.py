"""Checks the reader's answer as if an attacker had written it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from io import FileIO

from pydantic import TypeAdapter, ValidationError

from rnp_cli.checkpoints.dtypes import DTYPES
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.refusals import reader_died
from rnp_cli.checkpoints.scan import Scan, ScannedTensor

_MAX_TEXT = 2_000  # characters of one text that is shown
_MAX_TEXTS = 10_000
_NO_ANSWER = "gave no sound answer"


def read_answer(file: FileIO, limits: LoadLimits) -> Scan:
    """Read, validate and bound the answer; raises InputRefused."""
    size = os.fstat(file.fileno()).st_size
    if size > limits.max_answer_bytes:
        raise reader_died(_NO_ANSWER)
    file.seek(0)
    try:
        scan = TypeAdapter(Scan).validate_json(
            file.read(size) or b"", strict=True, extra="forbid"
        )
    except ValidationError:
        raise reader_died(_NO_ANSWER) from None
    if not _is_sound(scan, limits):
        raise reader_died(_NO_ANSWER)
    return scan


def _is_sound(scan: Scan, limits: LoadLimits) -> bool:
    texts = list(_texts(scan))
    return (
        len(texts) <= _MAX_TEXTS
        and all(len(text) <= _MAX_TEXT and text.isprintable() for text in texts)
        and len(scan.tensors) <= limits.max_tensors
        and len({tensor.name for tensor in scan.tensors}) == len(scan.tensors)
        and all(_is_sound_tensor(tensor, limits) for tensor in scan.tensors)
        and (len(scan.sha256) == 64 or scan.refusal is not None)
        and (bool(scan.tensors) or scan.refusal is not None)
    )


def _is_sound_tensor(tensor: ScannedTensor, limits: LoadLimits) -> bool:
    return (
        tensor.dtype in DTYPES
        and 0 < len(tensor.name) <= limits.max_name_length
        and tensor.name.isprintable()
        and len(tensor.shape) <= limits.max_rank
        and all(0 <= count < 1 << 63 for count in tensor.shape)
        and min(tensor.nan, tensor.inf) >= 0
    )


def _texts(scan: Scan) -> Iterator[str]:
    for field in fields(scan):
        value = getattr(scan, field.name)
        if isinstance(value, str):
            yield value
    yield from (*scan.dropped, *scan.findings)
    yield from (named.name for named in scan.globals)
    if scan.refusal is not None:
        yield from (scan.refusal.message, scan.refusal.hint)
