"""Checks the reader's answer as if an attacker had written it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from io import FileIO

from pydantic import TypeAdapter, ValidationError

from rnp_cli.checkpoints.dtypes import DTYPES
from rnp_cli.checkpoints.limits import LoadLimits
from rnp_cli.checkpoints.onnx_answer import check_graph
from rnp_cli.checkpoints.refusals import reader_died
from rnp_cli.checkpoints.scan import Answer, Scan, ScannedTensor
from rnp_cli.errors import InputRefused
from rnp_cli.graph import OnnxGraph

_MAX_TEXT = 2_000  # characters of one text that is shown
_MAX_TEXTS = 10_000
_NO_ANSWER = "gave no sound answer"


def read_answer(
    file: FileIO, limits: LoadLimits, *, wants_graph: bool
) -> tuple[Scan, OnnxGraph | None]:
    """Read, validate and bound the answer; raises InputRefused.

    Where a graph is wanted, only a refusal may come without one.
    """
    size = os.fstat(file.fileno()).st_size
    if size > limits.max_answer_bytes:
        raise reader_died(_NO_ANSWER)
    file.seek(0)
    try:
        answer = TypeAdapter(Answer).validate_json(
            file.read(size) or b"", strict=True, extra="forbid"
        )
    except ValidationError:
        raise reader_died(_NO_ANSWER) from None
    scan = answer.scan
    if not _is_sound(scan, limits):
        raise reader_died(_NO_ANSWER)
    if scan.refusal is not None:
        return scan, None
    if bool(answer.graph) != wants_graph:
        raise reader_died(_NO_ANSWER)
    return scan, _graph(answer, limits) if wants_graph else None


def _graph(answer: Answer, limits: LoadLimits) -> OnnxGraph:
    try:
        graph = OnnxGraph.model_validate_json(answer.graph)
        check_graph(graph, [tensor.name for tensor in answer.scan.tensors], limits)
    except (ValidationError, InputRefused):
        raise reader_died(_NO_ANSWER) from None
    return graph


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
