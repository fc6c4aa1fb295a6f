"""Say which networks a checkpoint almost fits, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rnp_cli.architectures.architecture import Architecture, Candidate
from rnp_cli.architectures.compare import Difference, difference
from rnp_cli.architectures.family import Family
from rnp_cli.architectures.match import guess_size
from rnp_cli.architectures.shapes import Shapes
from rnp_cli.architectures.steps import shapes_of
from rnp_cli.errors import InputRefused

HINT = "Name it with --arch NAME, or give your own code: --arch FILE.py:FACTORY."
_NEAREST = 3
_NEAR = 0.5  # at most this share of the tensors differs; the very nearest always shows


def unrecognized(shapes: Shapes, families: Iterable[Family]) -> InputRefused:
    """Return the error for a checkpoint that fits no family."""
    compared = []
    for prefix in shapes.prefixes():
        inner = shapes.under(prefix)
        for candidate in _proposals(inner, families):
            wanted = shapes_of(candidate.steps)
            differs = difference(inner, wanted)
            known = len(inner) - len(differs.unexpected)
            if known:
                share = differs.count / (known + differs.count)
                compared.append((share, candidate.name, differs))
    compared.sort(key=lambda entry: entry[:2])
    lines = [f"The architecture was not recognized from {len(shapes)} tensors."]
    named: set[str] = set()
    for share, name, differs in compared:
        is_near = share <= _NEAR or not named
        if is_near and name not in named and len(named) < _NEAREST:
            lines.append(f"Near {name}: {differs}.")
            named.add(name)
    if not named:
        lines.append("No known architecture has a tensor of the same name.")
    return InputRefused("\n".join(lines), hint=HINT)


def ambiguous(found: Iterable[Architecture]) -> InputRefused:
    """Return the error for shapes that fit several families under other names."""
    names = ", ".join(architecture.name for architecture in found)
    return InputRefused(
        "The names in the checkpoint are unknown, and its shapes fit more than one "
        f"architecture: {names}.",
        hint=HINT,
    )


def unsuitable(name: str, differs: Difference, instead: str = "") -> InputRefused:
    """Return the error for weights that do not fit the network the user named."""
    message = f"The checkpoint does not fit {name}: {differs}."
    if instead:
        message += f"\nIts weights are those of {instead}."
    return InputRefused(message, hint="Name another --arch, or leave it out.")


def _proposals(shapes: Shapes, families: Iterable[Family]) -> Iterator[Candidate]:
    size = guess_size(shapes)
    for family in families:
        readings = family.readings(shapes)
        if readings:
            yield readings[0]
        elif candidate := family.member(family.slugs[0], size):
            yield candidate
