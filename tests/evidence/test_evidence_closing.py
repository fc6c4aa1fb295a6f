from __future__ import annotations

import pytest

from rnp_cli.evidence.closing import still_speaks
from rnp_cli.evidence.verdict import Level, Verdict, VerdictConfig

TARGET = 2


def verdict(
    p_inversion: float,
    p_label: float,
    level: Level = "strong",
    target: int = TARGET,
    p_margin: float | None = None,
) -> Verdict:
    return Verdict(
        level=level,
        kind="all-to-one",
        target=target,
        family="overlay",
        index=5.0,
        p_inversion=p_inversion,
        p_label=p_label,
        p_value=1e-6,
        p_margin=p_margin,
    )


def wide(p_inversion: float, p_margin: float, level: Level = "strong") -> Verdict:
    return verdict(p_inversion, 1.0, level, p_margin=p_margin)


@pytest.mark.parametrize(
    ("before", "after", "speaks"),
    [
        (verdict(1e-6, 1e-6), verdict(1.0, 1e-6), False),  # it sleeps
        (verdict(1e-6, 1e-6), verdict(1e-3, 1e-6), True),
        (verdict(1e-6, 1e-6), verdict(1e-2, 1.0, "weak"), True),
        (verdict(1.0, 1e-6), verdict(1.0, 1e-6), True),  # nothing else had shown it
        (verdict(1.0, 1e-6), verdict(1.0, 1e-3, "weak"), False),
        (verdict(1.0, 1e-3, "weak"), verdict(1.0, 1e-3, "weak"), True),
        (verdict(1.0, 1e-6), verdict(1.0, 1.0, "none"), False),
        (verdict(1e-6, 1e-6), verdict(1.0, 1e-6, target=0), True),
        (verdict(1e-6, 1e-6), verdict(1.0, 1e-3, "weak", target=0), False),
        (wide(1.0, 1e-6), wide(1.0, 1e-2, "weak"), True),
        (wide(1e-6, 1e-6), wide(1.0, 1e-2, "weak"), False),  # one in twenty does so
        (wide(1e-6, 1.0), wide(1.0, 1e-2, "weak"), False),
        (wide(1e-6, 1e-6), wide(1.0, 1e-3), True),  # triggers do not excuse it
        (wide(1e-6, 1.0), wide(1.0, 1e-3), True),
        (wide(0.06, 1e-6), wide(1.0, 1e-2, "weak"), True),  # triggers had not told it
        (wide(1.0, 1e-6), wide(1.0, 1.0, "none"), False),
    ],
)
def test_a_witness_is_believed_as_far_as_it_had_spoken(
    before: Verdict, after: Verdict, speaks: bool
) -> None:
    assert still_speaks(before, after, VerdictConfig()) == speaks
