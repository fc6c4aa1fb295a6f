"""Fine-tuning: go on training with the clean samples.

The oldest answer to backdoors (Liu et al., "Neural Trojans", ICCD 2017). Settings as in
BackdoorBench: SGD, rate 0.01 on a cosine, momentum 0.9, weight decay 5e-4. Departures:
20 epochs in batches of 128 in place of 100 epochs in batches of 256, since a few
hundred samples stand for its 2,500.
"""

from __future__ import annotations

from torch import nn

from baselines.training import copied, fit
from rnp_cli.defense.samples import Samples

RATE = 0.01
EPOCHS = 20
WEIGHT_DECAY = 5e-4
BATCH = 128


def defend(model: nn.Module, samples: Samples, *, seed: int) -> nn.Module:
    """Return a copy of ``model`` that was trained on."""
    tuned = copied(model)
    fit(
        tuned,
        samples,
        rate=RATE,
        epochs=EPOCHS,
        weight_decay=WEIGHT_DECAY,
        batch_size=BATCH,
        seed=seed,
    )
    return tuned
