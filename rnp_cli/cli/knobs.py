"""The knobs of the stages, from the settings files to the stages' configs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rnp_cli.cli.settable import OWN, SHARED, TABLES
from rnp_cli.cli.settings import Layer, unknown_key
from rnp_cli.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from rnp_cli.defense.rnp import DefenseConfig
    from rnp_cli.evidence.config import EvidenceConfig


def read_knobs(
    layers: Sequence[Layer], max_drop: float | None = None
) -> tuple[DefenseConfig, EvidenceConfig]:
    """Put the files' knobs together; ``max_drop``, in points, wins.

    layers: strongest first. Raises UsageError.
    """
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        _validated(layer.knobs, str(layer.file))
        for name, value in layer.knobs.items():
            is_table = isinstance(value, dict)
            merged[name] = {**merged.get(name, {}), **value} if is_table else value
    _check_budget(layers)
    if max_drop is not None:
        threshold = merged.get("threshold", {})
        merged["threshold"] = {**threshold, "max_accuracy_drop": max_drop / 100}
    return _validated(merged, " and ".join(str(layer.file) for layer in layers))


def _validated(
    knobs: dict[str, Any], where: str
) -> tuple[DefenseConfig, EvidenceConfig]:
    from pydantic import ValidationError

    from rnp_cli.defense.rnp import DefenseConfig
    from rnp_cli.evidence.config import EvidenceConfig

    evident = EvidenceConfig.model_fields.keys()
    of_evidence = {name: knobs[name] for name in knobs.keys() & evident}
    rest = {name: value for name, value in knobs.items() if name not in evident}
    try:
        return (
            DefenseConfig.model_validate(rest, strict=True),
            EvidenceConfig.model_validate(of_evidence, strict=True),
        )
    except ValidationError as error:
        raise _explained(
            error, knobs, where, (DefenseConfig, EvidenceConfig)
        ) from error


def _explained(
    error: ValidationError,
    knobs: dict[str, Any],
    where: str,
    configs: Iterable[type[BaseModel]],
) -> UsageError:
    """Name the first unknown key and what it is nearest to, or what does not fit."""
    from rnp_cli.report.misfits import misfits

    fields = {
        name: field.default for c in configs for name, field in c.model_fields.items()
    }
    for one in error.errors():
        if one["type"] == "extra_forbidden":
            *tables, key = map(str, one["loc"])
            if not tables:
                return _misplaced(where, key) or unknown_key(
                    where, key, {*fields, *TABLES}
                )
            known = type(fields[tables[0]]).model_fields
            return unknown_key(f"{where}: [{tables[0]}]", key, known)
    return UsageError(f"{where}: {misfits(error, knobs)}.")


def _misplaced(where: str, key: str) -> UsageError | None:
    """Say in which tables an option belongs, if it is one."""
    of_tables = {"options": SHARED, **OWN}.items()
    tables = [f"[{table}]" for table, options in of_tables if key in options]
    if not tables:
        return None
    return UsageError(
        f"{where}: {key!r} is an option, and stands in no table.",
        hint=f"Write it below {' or '.join(tables)}.",
    )


def _check_budget(layers: Sequence[Layer]) -> None:
    """Refuse files that give the accuracy budget as an option and as a knob."""
    knob, option = "max_accuracy_drop", "max-accuracy-drop"
    by_knob = [la.file for la in layers if knob in la.knobs.get("threshold", {})]
    by_option = [la.file for la in layers if option in la.tables["sanitize"]]
    if by_knob and by_option:
        raise UsageError(
            f"The accuracy budget is given twice: as [threshold] {knob}, a share, in "
            f"{by_knob[0]}, and as [sanitize] {option}, in points, in {by_option[0]}.",
            hint="Keep one of the two.",
        )
