"""The leftovers of torch.nn.utils.prune: X_orig times X_mask is X."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rnp_cli.checkpoints.pairs import Pair, stem_of
from rnp_cli.checkpoints.refusals import malformed, quote

if TYPE_CHECKING:
    from torch import Tensor


def mask_pair(name: str, names: Mapping[str, object]) -> Pair | None:
    """Return the pair that ``name`` belongs to."""
    stem = stem_of(name, "_orig", "_mask")
    original, mask = f"{stem}_orig", f"{stem}_mask"
    if stem is None or stem in names or original not in names or mask not in names:
        return None
    return Pair(first=original, second=mask, weight=stem, shaped=original)


def masked_weight(pair: Pair, tensors: Mapping[str, Tensor]) -> Tensor:
    """Apply the mask. Raises InputRefused where it does not fit."""
    tensor, mask = tensors[pair.first], tensors[pair.second]
    if mask.shape != tensor.shape:
        raise malformed(f"The mask of {quote(pair.weight)} has another shape.")
    return tensor * mask.to(tensor.dtype)
