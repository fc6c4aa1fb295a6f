"""Which networks a scanned model's tensors fit; nothing is built for it."""

from __future__ import annotations

from collections.abc import Sequence

from rnp_cli.architectures import Shapes, recognize
from rnp_cli.checkpoints import fold_shapes
from rnp_cli.checkpoints.scan import ScannedTensor
from rnp_cli.errors import InputRefused
from rnp_cli.report.scan import ArchitectureGuess

_MOST_TENSORS = 5_000  # of a known network, generously; more may be there to waste time


def guess(tensors: Sequence[ScannedTensor]) -> ArchitectureGuess | None:
    """Name what fits these tensors, the usual one first, or say why nothing does.

    None where there are no tensors, or more than a known network has.
    """
    if not 0 < len(tensors) <= _MOST_TENSORS:
        return None
    try:
        shapes = fold_shapes({tensor.name: tensor.shape for tensor in tensors})
        found = recognize(Shapes(shapes))
    except InputRefused as refusal:
        return ArchitectureGuess(names=(), reason=refusal.message)
    return ArchitectureGuess(
        names=tuple(dict.fromkeys(architecture.name for architecture in found)),
        matched_by="order" if found[0].matched_by == "order" else "names",
        num_classes=found[0].num_classes,
        in_channels=found[0].in_channels,
    )
