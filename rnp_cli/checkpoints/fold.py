"""Folds what training left beside the weights into the weights themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rnp_cli.checkpoints.masks import fold_masks
from rnp_cli.checkpoints.refusals import quote, unsupported
from rnp_cli.checkpoints.weight_norm import fold_weight_norms

if TYPE_CHECKING:
    from torch import Tensor

Folding = Callable[["dict[str, Tensor]"], "tuple[dict[str, Tensor], int]"]

FOLDINGS: dict[str, Folding] = {
    "pruning masks": fold_masks,
    "weight normalizations": fold_weight_norms,
}


def fold(state_dict: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights that the network computes with, and what was done to them.

    Raises InputRefused where parts do not fit together or give no finite weight.
    """
    findings: list[str] = []
    folded = state_dict
    for title, folding in FOLDINGS.items():
        folded, count = folding(folded)
        if count:
            findings.append(f"folded {count} {title} into their weights")
    for name, tensor in folded.items():
        if name not in state_dict and not bool(tensor.isfinite().all()):
            raise unsupported(f"{quote(name)} is NaN or infinite once it is folded.")
    return folded, findings
