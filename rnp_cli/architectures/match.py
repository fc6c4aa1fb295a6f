"""Two ways a checkpoint can fit a network: by names, or by the order of its shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from rnp_cli.architectures.architecture import Architecture, Candidate, MatchedBy
from rnp_cli.architectures.compare import difference
from rnp_cli.architectures.family import Family, Size
from rnp_cli.architectures.shapes import BATCH_COUNT, Shape, Shapes
from rnp_cli.architectures.steps import shapes_of

_ROLES = frozenset({"weight", "bias", "running_mean", "running_var"})


def match_names(
    shapes: Shapes, families: Iterable[Family], matched_by: MatchedBy = "names"
) -> list[tuple[Candidate, Architecture]]:
    """Return every reading whose names and shapes are all the checkpoint's.

    A prefix that all names share (``model.``) may stand before the family's names.
    Readings that differ only in what weights do not show follow the usual one.
    """
    for prefix in shapes.prefixes():
        inner = shapes.under(prefix)
        for family in families:
            readings = family.readings(inner)
            if readings and not difference(inner, shapes_of(readings[0].steps)).count:
                key_map = {prefix + name: name for name in inner}
                return [(c, c.fitted(key_map, matched_by)) for c in readings]
    return []


def match_order(
    shapes: Shapes, families: Iterable[Family], *, slug: str | None = None
) -> list[Architecture]:
    """Return the published members whose shapes come in the checkpoint's order.

    At most one for each family; with ``slug`` only that member is tried.
    """
    found = []
    tensors = sum(_last(name) != BATCH_COUNT for name in shapes)
    for family in families:
        for name in (slug,) if slug else family.slugs:
            if _tensor_count(family, name) != tensors:
                continue
            candidate = family.member(name, guess_size(shapes))
            if candidate and (key_map := order_map(shapes, shapes_of(candidate.steps))):
                found.append(candidate.fitted(key_map, "order"))
                break
    return found


@cache
def _tensor_count(family: Family, slug: str) -> int:
    """Count a member's tensors, which are as many at every size; 0 if unknown."""
    candidate = family.member(slug, Size())
    names = shapes_of(candidate.steps) if candidate else ()
    return sum(_last(name) != BATCH_COUNT for name in names)


def order_map(
    found: Mapping[str, Shape], wanted: Mapping[str, Shape]
) -> dict[str, str]:
    """Pair the names in order, or return nothing where a shape or a role differs.

    Roles are last parts such as ``bias`` and ``running_var``: where both names have
    one, they must agree, since all of a BatchNorm's tensors have the same shape.
    """
    ours = [name for name in found if _last(name) != BATCH_COUNT]
    theirs = [name for name in wanted if _last(name) != BATCH_COUNT]
    if len(ours) != len(theirs):
        return {}
    key_map = dict(zip(ours, theirs, strict=True))
    for name, target in key_map.items():
        roles = {_last(name), _last(target)}
        if found[name] != wanted[target] or (len(roles) > 1 and roles <= _ROLES):
            return {}
    for name in found:
        if _last(name) == BATCH_COUNT:
            layer = key_map.get(f"{name.removesuffix(BATCH_COUNT)}running_mean", "")
            target = f"{layer.removesuffix('running_mean')}{BATCH_COUNT}"
            if target not in wanted or wanted[target] != found[name]:
                return {}
            key_map[name] = target
    return key_map


def guess_size(shapes: Shapes) -> Size:
    """Take classes from the last matrix, input and width from the first convolution."""
    matrices = [shape for shape in shapes.values() if len(shape) == 2]
    convolutions = [shape for shape in shapes.values() if len(shape) == 4]
    classes = matrices[-1][0] if matrices else 0
    out, into = convolutions[0][:2] if convolutions else (0, 0)
    return Size(
        num_classes=classes if 0 < classes <= 1 << 20 else 10,
        in_channels=into if 0 < into <= 1 << 10 else 3,
        width=out if 0 < out <= 1 << 12 else None,
    )


def _last(name: str) -> str:
    return name.rpartition(".")[2]
