"""What does not fit in a file that was read, in words: for reports and settings."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_MOST_PLACES = 3
_MOST_CHARACTERS = 60
_WANTED: Mapping[str, str] = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a text",
    "date_type": "a day such as 2027-01-31",
    "date_parsing": "a day such as 2027-01-31",
    "tuple_type": "a list",
    "dict_type": "a table of keys",
    "model_type": "a table of keys",
    "literal_error": "{expected}",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "below {lt:g}",
    "less_than_equal": "{le:g} or less",
    "too_long": "a list of {max_length} at most",
    "too_short": "a list of {min_length} at least",
    "string_too_long": "a text of {max_length} characters at most",
    "string_too_short": "a text of {min_length} characters at least",
}


def misfits(error: ValidationError, content: object) -> str:
    """Say where ``content`` does not fit, and what is allowed there.

    Pydantic's own words speak of types of Python, which no file has.
    """
    by_place: dict[str, list[ErrorDetails]] = {}
    for one in error.errors():
        by_place.setdefault(_place(one, content), []).append(one)
    told = [_told(place, errors) for place, errors in by_place.items()]
    hidden = len(told) - _MOST_PLACES
    more = f"; and {hidden} more" if hidden > 0 else ""
    return "; ".join(told[:_MOST_PLACES]) + more


def _told(place: str, errors: Sequence[ErrorDetails]) -> str:
    match errors[0]["type"]:
        case "json_invalid":
            return "it is not JSON"
        case "missing":
            return f"{place} is missing"
        case "extra_forbidden":
            return f"{place} is not known"
        case "value_error":  # of a check of our own, which says it in words
            return f"{place} {errors[0]['ctx']['error']}".strip()
    wanted = [
        _WANTED[one["type"]].format_map(one.get("ctx", {}))
        for one in errors
        if one["type"] in _WANTED
    ]
    if not wanted:
        return f"{place} does not fit"
    return f"{place or 'it'} must be {' or '.join(wanted)}{_but(errors[0]['input'])}"


def _but(given: object) -> str:
    """Name what is there instead, where it is short."""
    if given is not None and not isinstance(given, str | int | float):
        return ""
    if isinstance(given, float) and not math.isfinite(given):
        return f", not {given}"  # as TOML writes it
    return f", not {_cut(json.dumps(given))}"


def _place(error: ErrorDetails, content: object) -> str:
    """Write a place as ``triggers[3].norm``."""
    place = ""
    for step in _real(error["loc"], content):
        place += f"[{step}]" if isinstance(step, int) else f".{step}"
    if error["type"] == "missing":
        place += f".{error['loc'][-1]}"
    return _cut(place.removeprefix("."))


def _real(steps: Sequence[str | int], content: Any) -> Iterator[str | int]:
    """Leave out steps that are not in the content: some name a type, and no key."""
    for step in steps:
        is_key = isinstance(content, dict) and step in content
        if is_key or (isinstance(content, list) and step in range(len(content))):
            content = content[step]
            yield step


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."
