"""The file of what is accepted of models that break a rule of the policy."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnp_cli.cli.options import policy
from rnp_cli.cli.settings import load_toml, unknown_key
from rnp_cli.errors import UsageError

if TYPE_CHECKING:
    from rnp_cli.report.acceptance import Acceptance

_KEYS = {
    "model": "the SHA-256 of the model as it came, 64 hexadecimal digits",
    "rule": "backdoor, left, unheard, accuracy=POINTS or residual=PERCENT, the most "
    "that is accepted",
    "reason": "a text that says why",
    "expires": "the last day, such as 2027-01-31, without quotes",
}


def read_accepted(path: Path | None) -> tuple[Acceptance, ...]:
    """Read the entries, ``[[accepted]]``; raises UsageError for any that is unclear."""
    if path is None:
        return ()
    content = load_toml(path)
    for key in content:
        if key != "accepted":
            raise unknown_key(str(path), key, ("accepted",))
    entries = content.get("accepted", [])
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise UsageError(f"{path}: each entry must be a table, [[accepted]].")
    return tuple(
        _entry(f"{path}: entry {number}", entry)
        for number, entry in enumerate(entries, 1)
    )


def _entry(where: str, entry: dict[str, Any]) -> Acceptance:
    from pydantic import ValidationError

    from rnp_cli.report.acceptance import Acceptance

    for key in entry:
        if key not in _KEYS:
            raise unknown_key(where, key, _KEYS)
    wrong = [key for key in _KEYS if not _is_sound(key, entry.get(key))]
    if wrong:
        raise UsageError(
            f"{where}: {wrong[0]} must be {_KEYS[wrong[0]]}.",
            hint=f"Each entry has {', '.join(_KEYS)}.",
        )
    name, _, limit = _rule(where, entry["rule"]).partition("=")
    try:
        return Acceptance.model_validate(
            {
                "model": entry["model"].lower(),
                "rule": name,
                "limit": float(limit) if limit else None,
                "reason": " ".join(entry["reason"].split()),
                "expires": entry["expires"],
            }
        )
    except ValidationError as error:  # what is left is the digest
        raise UsageError(f"{where}: model must be {_KEYS['model']}.") from error


def _is_sound(key: str, value: object) -> bool:
    if key == "expires":
        return type(value) is date
    return isinstance(value, str) and bool(value.strip())


def _rule(where: str, rule: str) -> str:
    try:
        policy((rule,))
    except UsageError as error:
        raise UsageError(
            f"{where}: rule must be {_KEYS['rule']}, not {rule!r}.",
            hint="Nothing else can be accepted: a model that could not be made safe is "
            "not written.",
        ) from error
    return rule
