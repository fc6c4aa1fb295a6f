"""Recognizes training tools by what they put beside the weights."""

from __future__ import annotations

from dataclasses import dataclass

from rnp_cli.checkpoints.refusals import quote

_SAID = ("model_name", "num_classes", "img_size")
_MAX_SIZES = 4


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a tool puts the weights, and what it puts before their names."""

    inside: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


def origin_of(root: object) -> Origin:
    """Recognize PyTorch Lightning and BackdoorBench; anything else is no tool."""
    if not isinstance(root, dict):
        return Origin()
    if "pytorch-lightning_version" in root and "state_dict" in root:
        version = quote(root["pytorch-lightning_version"])
        return Origin(
            inside=("state_dict",),
            prefixes=("model.", "net.", "network."),  # attributes of its module
            findings=(f"written by PyTorch Lightning {version}",),
        )
    if {"model", "model_name", "num_classes"} <= root.keys():
        said = ", ".join(f"{key} {_plain(root[key])}" for key in _SAID if key in root)
        return Origin(inside=("model",), findings=(f"BackdoorBench says: {said}",))
    return Origin()


def _plain(value: object) -> str:
    if isinstance(value, list | tuple) and len(value) <= _MAX_SIZES:
        return "x".join(map(quote, value))
    return quote(value)
