"""An architecture that the user names: one of ours, or of torchvision or timm."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from rnp_cli.architectures.architecture import Architecture
from rnp_cli.architectures.compare import difference, printable
from rnp_cli.architectures.family import Family
from rnp_cli.architectures.libraries import Unusable, find_model
from rnp_cli.architectures.match import guess_size, match_names, match_order
from rnp_cli.architectures.module import match_module
from rnp_cli.architectures.refusal import unsuitable
from rnp_cli.architectures.shapes import Shapes
from rnp_cli.architectures.steps import shapes_of
from rnp_cli.errors import UsageError


def match_named(
    name: str, shapes: Shapes, families: Sequence[Family]
) -> tuple[Architecture, ...]:
    """Return the architectures of that name that fit.

    The name says which network, the weights say how wide it is. A shorter name covers
    its variants: ``resnet18`` is also ``resnet18-cifar``. Raises InputRefused where
    the weights are another network's and UsageError where nobody knows the name.
    """
    slug = name.strip().lower().replace("_", "-")
    by_names = match_names(shapes, families, "given")
    fitting = [
        architecture
        for candidate, architecture in by_names
        if candidate.slug == slug or candidate.slug.startswith(f"{slug}-")
    ]
    if fitting:
        return tuple(fitting)
    size = guess_size(shapes)
    members = (family.member(slug, size) for family in families)
    member = next(filter(None, members), None)
    if member is None:
        return _from_libraries(name.strip(), shapes, families)
    by_order = match_order(shapes, families, slug=slug)
    if by_order and not by_names:
        return tuple(by_order[:1])
    differs = min(
        (
            difference(shapes.under(prefix), shapes_of(member.steps))
            for prefix in shapes.prefixes()
        ),
        key=lambda entry: entry.count,
    )
    instead = by_names[0][1].name if by_names else ""
    raise unsuitable(member.name, differs, instead)


def _from_libraries(
    name: str, shapes: Shapes, families: Sequence[Family]
) -> tuple[Architecture, ...]:
    size = guess_size(shapes)
    found = find_model(name, size)
    if not isinstance(found, Unusable):
        return match_module(name, found, shapes)
    known = [slug for family in families for slug in family.slugs]
    slug = name.lower().replace("_", "-")
    close = difflib.get_close_matches(slug[:80], [*known, *found.names], n=3)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    raise UsageError(
        f"No architecture is called {printable(name)!r}.{meant}\n"
        f"Known: {', '.join(known)}.",
        hint=" ".join(["Or give your own code: --arch FILE.py:FACTORY.", *found.why]),
    )
