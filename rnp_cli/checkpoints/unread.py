"""Notices weights that are stored in ways which nothing here reads."""

from __future__ import annotations

from rnp_cli.checkpoints.records import Global, Stub
from rnp_cli.checkpoints.refusals import quote, unsupported


def refuse_unread(name: str, value: object) -> None:
    """Refuse a quantized, sparse or otherwise special tensor instead of losing it."""
    if not isinstance(value, Stub) or not isinstance(value.cls, Global):
        return
    if value.cls.module == "torch._utils" and value.cls.name.startswith("_rebuild_"):
        raise unsupported(
            f"{quote(name)} is a quantized, sparse or otherwise special tensor "
            f"({quote(value.cls.name)}), which is not supported.",
            "Save the model with dense, dequantized weights.",
        )
