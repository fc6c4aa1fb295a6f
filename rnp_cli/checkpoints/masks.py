"""Folds the leftovers of torch.nn.utils.prune: X_orig times X_mask is X."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnp_cli.checkpoints.refusals import malformed, quote

if TYPE_CHECKING:
    from torch import Tensor


def fold_masks(state_dict: dict[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """Return the weights with every mask applied, and how many there were."""
    folded: dict[str, Tensor] = {}
    count = 0
    for name, tensor in state_dict.items():
        stem = name.removesuffix("_orig")
        if _is_pair(stem, state_dict) and name.endswith("_orig"):
            mask = state_dict[f"{stem}_mask"]
            if mask.shape != tensor.shape:
                raise malformed(f"The mask of {quote(stem)} has another shape.")
            folded[stem] = tensor * mask.to(tensor.dtype)
            count += 1
        elif not _is_pair(name.removesuffix("_mask"), state_dict):
            folded[name] = tensor
    return folded, count


def _is_pair(stem: str, state_dict: dict[str, Tensor]) -> bool:
    return (
        f"{stem}_orig" in state_dict
        and f"{stem}_mask" in state_dict
        and stem not in state_dict
    )
