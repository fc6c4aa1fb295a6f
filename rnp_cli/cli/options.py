"""Option values that are more than a word or a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnp_cli.errors import UsageError

if TYPE_CHECKING:
    from rnp_cli.report.policy import Policy


_SUFFIXES = frozenset(
    {".pt", ".pth", ".tar", ".th", ".ckpt", ".bin", ".pkl", ".pt2", ".safetensors"}
)


def default_output(model: Path) -> Path:
    """Name the sanitized model after the checkpoint, in the working directory."""
    if model.suffix == ".onnx":
        return Path(f"{model.stem}.sanitized.onnx")
    return Path(f"{_stem(model)}.sanitized.safetensors")


def default_folder(model: Path) -> Path:
    """Name the folder of triggers after the checkpoint, in the working directory."""
    stem = model.stem if model.suffix == ".onnx" else _stem(model)
    return Path(f"{stem}.trigger")


def _stem(model: Path) -> str:
    stem = Path(model.name)
    while stem.suffix in _SUFFIXES:
        stem = stem.with_suffix("")
    return str(stem)


def numbers(
    text: str | None,
    option: str,
    example: str = "0.485,0.456,0.406, or one number for all channels",
) -> tuple[float, ...] | None:
    """Parse ``0.5`` or ``0.49,0.48,0.45``."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(map(math.isfinite, values)):
        raise UsageError(
            f"{option} takes numbers with commas between them, not {text!r}.",
            hint=f"For example {example}.",
        )
    return values


def pair(text: str | None, option: str) -> tuple[float, float] | None:
    """Parse ``0,255``."""
    values = numbers(text, option, "0,255")
    if values is None:
        return None
    if len(values) != 2:
        raise UsageError(f"{option} takes two numbers, such as 0,255.")
    return values[0], values[1]


def image_size(text: str | None) -> tuple[int, int] | None:
    """Parse ``32`` or ``32x64`` (height x width)."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(p.isdecimal() and 0 < int(p) <= 4096 for p in parts):
        raise UsageError(f"--input-size takes 32 or 32x64, not {text!r}.")
    return int(parts[0]), int(parts[-1])


def feeding(
    input_size: str | None, value_range: str | None, mean: str | None, std: str | None
) -> dict[str, Any]:
    """Parse what says how images are fed, as the fields of a request."""
    return {
        "input_size": image_size(input_size),
        "value_range": pair(value_range, "--range"),
        "mean": numbers(mean, "--mean"),
        "std": numbers(std, "--std"),
    }


def policy(rules: Sequence[str]) -> Policy:
    """Parse ``backdoor``, ``left``, ``unheard``, ``accuracy=2``, ``residual=10``."""
    from rnp_cli.report.policy import Policy

    values: dict[str, Any] = {}
    for rule in rules:
        name, value = _rule(rule)
        if values.setdefault(name, value) != value:
            raise UsageError(
                f"--fail-on is given {name} twice, with different limits.",
                hint="Keep one of the two.",
            )
    return Policy.model_validate(values)


def _rule(rule: str) -> tuple[str, Any]:
    from pydantic import ValidationError

    from rnp_cli.report.policy import Policy

    name, equals, limit = rule.partition("=")
    try:
        if bool(equals) == (name in Policy.bare()):
            raise ValueError
        read = Policy.model_validate({name: limit if equals else True})
    except (ValidationError, ValueError) as error:
        raise UsageError(
            f"--fail-on takes no {rule!r}.",
            hint="It takes backdoor, left, unheard, accuracy=POINTS and "
            "residual=PERCENT, both from 0 to 100.",
        ) from error
    return name, getattr(read, name)
