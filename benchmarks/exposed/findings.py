"""What unlearning, recovering and pruning expose of a model, and how it is kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

from safetensors.torch import load, save
from torch import Tensor, nn

from rnp_cli.data.split import split
from rnp_cli.defense.rnp import Defended, DefenseConfig, defend
from rnp_cli.defense.samples import Samples

_MASK, _WEIGHT = "mask:", "weight:"


@dataclass(frozen=True, eq=False)
class Findings:
    """Recovered masks by layer, (channel,) in [0, 1], and the pruned tensors."""

    masks: Mapping[str, Tensor]
    pruned: Mapping[str, Tensor]

    def pruned_copy(self, model: nn.Module) -> nn.Module:
        """Return a copy of the original model with the channels cut."""
        pruned = copy.deepcopy(model)
        pruned.load_state_dict(self.pruned)
        return pruned.eval()

    def to_bytes(self) -> bytes:
        """Return all of it as one safetensors file."""
        masks = {f"{_MASK}{name}": value for name, value in self.masks.items()}
        weights = {f"{_WEIGHT}{name}": value for name, value in self.pruned.items()}
        everything = masks | weights
        return save({name: value.contiguous() for name, value in everything.items()})


def from_bytes(data: bytes) -> Findings:
    """Read what ``to_bytes`` gave."""
    tensors = load(data)
    masks, pruned = (
        {n.removeprefix(part): t for n, t in tensors.items() if n.startswith(part)}
        for part in (_MASK, _WEIGHT)
    )
    return Findings(masks, pruned)


def expose(model: nn.Module, samples: Samples, *, seed: int) -> Defended:
    """Unlearn, recover and prune within the accuracy budget, as ``--method rnp`` does.

    model: images (batch, channel, height, width) in [0, 1] to logits (batch, class).
    Raises DefenseFailed where a stage cannot do its work.
    """
    config = DefenseConfig()
    classes = model(samples.images[:2]).shape[1]
    parts = split(
        samples, num_classes=classes, holdout_share=config.holdout_share, seed=seed
    )
    return defend(model, parts, config, seed=seed)


def findings_of(defended: Defended) -> Findings:
    """Return what is kept of it."""
    state = defended.model.state_dict()
    return Findings(defended.masks.value, {n: t.cpu() for n, t in state.items()})
