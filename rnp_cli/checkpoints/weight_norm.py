"""Folds the leftovers of weight normalization: g times v over the norm of v."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnp_cli.checkpoints.refusals import malformed, quote

if TYPE_CHECKING:
    from torch import Tensor

# (magnitude, direction): as torch.nn.utils.weight_norm names
# them, and as torch.nn.utils.parametrizations.weight_norm does.
_SPELLINGS = (("_g", "_v"), (".original0", ".original1"))
_PARAMETRIZED = "parametrizations."


def fold_weight_norms(state_dict: dict[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """Return the weights with every normalization applied, and how many there were.

    Raises InputRefused where magnitude and direction do not fit together.
    """
    folded: dict[str, Tensor] = {}
    count = 0
    for name, tensor in state_dict.items():
        pair = _pair_of(name, state_dict)
        if pair is None:
            folded[name] = tensor
            continue
        magnitude, direction, weight = pair
        if name == magnitude:
            folded[weight] = _weight(tensor, state_dict[direction], weight)
            count += 1
    return folded, count


def _pair_of(name: str, state_dict: dict[str, Tensor]) -> tuple[str, str, str] | None:
    """Names of magnitude, direction and weight, where ``name`` is one of a pair."""
    for g, v in _SPELLINGS:
        stem = name.removesuffix(g).removesuffix(v)
        if stem == name or stem + g not in state_dict or stem + v not in state_dict:
            continue
        above, _, last = stem.rpartition(_PARAMETRIZED)
        weight = above + last if g.startswith(".") else stem
        is_parametrized = f".{stem}".endswith(f".{_PARAMETRIZED}{last}")
        if g.startswith(".") and not is_parametrized:
            continue
        if weight not in state_dict:
            return stem + g, stem + v, weight
    return None


def _weight(magnitude: Tensor, direction: Tensor, name: str) -> Tensor:
    import torch

    for axis in (*range(direction.dim()), -1):
        shape = tuple(
            count if axis == place else 1 for place, count in enumerate(direction.shape)
        )
        if magnitude.shape == (shape if axis >= 0 else ()):
            return torch._weight_norm(direction, magnitude, axis)
    raise malformed(f"The weight normalization of {quote(name)} has another shape.")
