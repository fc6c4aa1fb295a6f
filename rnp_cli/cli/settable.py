"""Which options a settings file may set, and how their values are written in TOML.

Neither the model nor the clean images, which are what a run is about; nothing that
names or replaces an output; and not --arch, which can name code to run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rnp_cli.cli.options import image_size, numbers, pair, policy
from rnp_cli.errors import UsageError

Kind = Callable[[Any, Path], Any]


def _text(value: Any, folder: Path) -> str:
    return str(_of(str, value, "a text in quotes"))


def _whole(value: Any, folder: Path) -> int:
    return int(_of(int, value, "a whole number"))


def _number(value: Any, folder: Path) -> float:
    return float(_of((int, float), value, "a number"))


def _path(value: Any, folder: Path) -> str:
    return str(folder / _text(value, folder))


def _rules(value: Any, folder: Path) -> tuple[str, ...]:
    given = value if isinstance(value, list) else [value]
    rules = tuple(_of(str, rule, "a list of texts") for rule in given)
    _checked(policy, rules)
    return rules


def _size(value: Any, folder: Path) -> str:
    text = _joined(value, "x", int, "a whole number, a list of two or a text")
    _checked(image_size, text)
    return text


def _list(value: Any, folder: Path) -> str:
    text = _joined(value, ",", (int, float), "a number, a list of numbers or a text")
    _checked(numbers, text, "it")
    return text


def _pair(value: Any, folder: Path) -> str:
    text = _joined(value, ",", (int, float), "a list of two numbers or a text")
    _checked(pair, text, "it")
    return text


def _joined(value: Any, sign: str, kind: Any, wanted: str) -> str:
    """Write numbers as the option takes them on the command line."""
    if isinstance(value, str):
        return value
    values = value if isinstance(value, list) else [value]
    return sign.join(str(_of(kind, one, wanted)) for one in values)


def _checked(parse: Callable[..., object], *values: object) -> None:
    """Let the option's own parser say what is wrong."""
    try:
        parse(*values)
    except UsageError as error:
        raise ValueError(
            f"does not fit: {error.message} {error.hint}".strip()
        ) from error


def _of(kind: Any, value: Any, wanted: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"must be {wanted}.")
    return value


SHARED: Mapping[str, Kind] = {
    "accepted": _path,
    "device": _text,
    "input-size": _size,
    "labels": _text,
    "max-samples": _whole,
    "mean": _list,
    "range": _pair,
    "seed": _whole,
    "std": _list,
}
OWN: Mapping[str, Mapping[str, Kind]] = {
    "sanitize": {
        "fail-on": _rules,
        "max-accuracy-drop": _number,
        "method": _text,
        "when": _text,
    },
    "detect": {"fail-on": _text},
    "trigger": {},
    "filter": {"fpr": _number},
}
TABLES = ("options", *OWN)
