"""The leftovers of weight normalization: g times v over the norm of v."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rnp_cli.checkpoints.pairs import Pair, stem_of
from rnp_cli.checkpoints.refusals import malformed, quote

if TYPE_CHECKING:
    from torch import Tensor

# (magnitude, direction): as torch.nn.utils.weight_norm names
# them, and as torch.nn.utils.parametrizations.weight_norm does.
_SPELLINGS = (("_g", "_v"), (".original0", ".original1"))
_PARAMETRIZED = "parametrizations."


def norm_pair(name: str, names: Mapping[str, object]) -> Pair | None:
    """Return the pair of magnitude and direction that ``name`` belongs to."""
    for g, v in _SPELLINGS:
        stem = stem_of(name, g, v)
        if stem is None or stem + g not in names or stem + v not in names:
            continue
        above, _, last = stem.rpartition(_PARAMETRIZED)
        weight = above + last if g.startswith(".") else stem
        is_parametrized = f".{stem}".endswith(f".{_PARAMETRIZED}{last}")
        if g.startswith(".") and not is_parametrized:
            continue
        if weight not in names:
            return Pair(first=stem + g, second=stem + v, weight=weight, shaped=stem + v)
    return None


def normalized_weight(pair: Pair, tensors: Mapping[str, Tensor]) -> Tensor:
    """Compute the weight. Raises InputRefused where its parts do not fit together."""
    import torch

    magnitude, direction = tensors[pair.first], tensors[pair.second]
    for axis in (*range(direction.dim()), -1):
        shape = tuple(
            count if axis == place else 1 for place, count in enumerate(direction.shape)
        )
        if magnitude.shape == (shape if axis >= 0 else ()):
            return torch._weight_norm(direction, magnitude, axis)
    raise malformed(
        f"The weight normalization of {quote(pair.weight)} has another shape."
    )
