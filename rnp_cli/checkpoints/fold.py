"""Folds what training left beside the weights into the weights themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from rnp_cli.checkpoints.masks import mask_pair, masked_weight
from rnp_cli.checkpoints.pairs import Pair
from rnp_cli.checkpoints.refusals import malformed, quote, unsupported
from rnp_cli.checkpoints.weight_norm import norm_pair, normalized_weight

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]
Value = TypeVar("Value")


class _Folding(NamedTuple):
    title: str
    pair_of: Callable[[str, Mapping[str, object]], Pair | None]
    weight_of: Callable[[Pair, Mapping[str, Tensor]], Tensor]


FOLDINGS = (
    _Folding("pruning masks", mask_pair, masked_weight),
    _Folding("weight normalizations", norm_pair, normalized_weight),
)


def fold(state_dict: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights that the network computes with, and what was done to them.

    Raises InputRefused where parts do not fit together or give no finite weight.
    """
    findings: list[str] = []
    folded = state_dict
    for title, pair_of, weight_of in FOLDINGS:
        before = len(folded)
        folded = _folded(folded, pair_of, weight_of)
        if count := before - len(folded):  # each pair became one
            findings.append(f"folded {count} {title} into their weights")
    for name, tensor in folded.items():
        if name not in state_dict and not bool(tensor.isfinite().all()):
            raise unsupported(f"{quote(name)} is NaN or infinite once it is folded.")
    return folded, findings


def fold_shapes(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the shapes that ``fold`` leads to. Raises InputRefused as it does."""
    folded = dict(shapes)
    for _, pair_of, _ in FOLDINGS:
        folded = _folded(folded, pair_of, lambda pair, known: known[pair.shaped])
    return folded


def _folded(
    values: Mapping[str, Value],
    pair_of: Callable[[str, Mapping[str, object]], Pair | None],
    weight_of: Callable[[Pair, Mapping[str, Value]], Value],
) -> dict[str, Value]:
    folded: dict[str, Value] = {}
    for name, value in values.items():
        pair = pair_of(name, values)
        if pair is None:
            folded[name] = value
        elif name == pair.first:
            if pair.weight in folded:
                raise malformed(f"Two pairs of tensors stand for {quote(pair.weight)}.")
            folded[pair.weight] = weight_of(pair, values)
    return folded
