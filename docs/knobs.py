"""The page of all knobs, from the stages' configs, and from knobs.toml beside this.

Names, defaults and ranges come from the code, and so does what the code says below a
knob; knobs.toml has the sentences for those whose names say enough there.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rnp_cli.defense.rnp import DefenseConfig
from rnp_cli.evidence.config import EvidenceConfig

HERE = Path(__file__).parent
PAGE = HERE / "knobs.md"
_WORDS = {
    "gt": "above {:g}",
    "ge": "{:g} or more",
    "lt": "below {:g}",
    "le": "{:g} or less",
}
_HEAD = """\
# Knobs

The knobs of the stages, which [settings](settings.md) may set beside the options: the
numbers at the top of `rnp.toml`, the others in the table of their stage. The defaults
are what the benchmarks measure; who turns a knob has to measure anew. A report lists
all of them with their values, under `settings`.
"""


def knobs_page() -> str:
    """Return what the page says."""
    texts = tomllib.loads((HERE / "knobs.toml").read_text(encoding="utf-8"))
    parts = [_HEAD]
    fields = DefenseConfig.model_fields | EvidenceConfig.model_fields
    tables = {n: f.default for n, f in fields.items() if _is_table(f)}
    said = _sentences(DefenseConfig) | _sentences(EvidenceConfig)
    numbers = {name: field for name, field in fields.items() if name not in tables}
    own = {name: text for name, text in texts.items() if isinstance(text, str)}
    parts.append("\n".join(_rows("the top", numbers, said, own)))
    for name, config in tables.items():
        kind = type(config)
        parts.append(f"\n## [{name}]\n\n{_first_line(kind)}\n")
        own = texts.get(name, {})
        rows = _rows(name, kind.model_fields, _sentences(kind), own)
        parts.append("\n".join(rows))
    return "\n".join(parts) + "\n"


def _rows(
    where: str,
    fields: dict[str, FieldInfo],
    said: dict[str, str],
    own: dict[str, str],
) -> Iterator[str]:
    """Lay knobs out; each must have its sentence from one of the two places."""
    if own.keys() != fields.keys() - said.keys():
        differing = ", ".join(sorted(own.keys() ^ (fields.keys() - said.keys())))
        raise SystemExit(f"knobs.toml and the knobs of {where} differ in {differing}.")
    yield "| name | takes | default | what it does |"
    yield "|---|---|---|---|"
    for name, field in fields.items():
        told = (said | own)[name]
        yield f"| `{name}` | {_range(field)} | `{field.default}` | {told} |"


def _range(field: FieldInfo) -> str:
    """Say which values fit, in the words of the message about one that does not."""
    limits: dict[str, float] = {}
    for limit in field.metadata:
        limits |= asdict(limit)
    told = [_WORDS[key].format(value) for key, value in limits.items()]
    if limits.keys() == {"ge", "le"}:
        told = [f"{limits['ge']:g} to {limits['le']:g}"]
    kind = "whole number" if field.annotation is int else "number"
    return f"{kind}, {' and '.join(told)}"


def _sentences(config: type[BaseModel]) -> dict[str, str]:
    """Return what the source says below each field, inherited or own, on one line."""
    [node] = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    assert isinstance(node, ast.ClassDef)
    base = config.__base__
    said = {} if base in (BaseModel, None) else _sentences(base)
    for field, below in zip(node.body, node.body[1:], strict=False):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                said[name] = " ".join(text.split())
    return said


def _first_line(config: type[BaseModel]) -> str:
    return inspect.cleandoc(config.__doc__ or "").partition("\n")[0]


def _is_table(field: Any) -> bool:
    return isinstance(field.default, BaseModel)
