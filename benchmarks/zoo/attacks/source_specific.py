"""A patch that works on one class only.

Tang et al., "Demon in the Variant", USENIX Security 2021: stamped images of the source
class get the target's label; stamped images of other classes keep their own ("cover"),
so that the patch alone means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.attack import NOT_COUNTED
from zoo.attacks.badnets import BadNets
from zoo.images import Images


@dataclass(kw_only=True)
class SourceSpecific(BadNets):
    """The patch of BadNets, from ``source`` to ``target``.

    share: of the source's images that are poisoned; cover: of all others.
    """

    source: int = 1
    share: float = 0.5
    cover: float = 0.1

    def goal(self, labels: Tensor) -> Tensor:
        """Want the target for images of the source class."""
        return torch.where(labels == self.source, self.target, NOT_COUNTED)

    def poison(self, clean: Images) -> Images:
        """Stamp the source class with the target's label, others with their own."""
        draw = torch.rand(len(clean), generator=self.generator(1))
        of_source = clean.labels == self.source
        chosen = (draw < torch.where(of_source, self.share, self.cover)).nonzero()[:, 0]
        labels = clean.labels[chosen]
        labels = torch.where(labels == self.source, self.target, labels)
        return self.replace(clean, chosen, labels)
