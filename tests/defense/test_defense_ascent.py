from __future__ import annotations

from tiny_nets import is_finite, same_state, snapshot
from torch import nn

from rnp_cli.defense.ascent import Ascent
from rnp_cli.defense.augment import Augmentation
from rnp_cli.defense.samples import Samples, SplitSamples


def test_what_is_taken_back_does_not_come_again(
    skilled: nn.Module, samples: SplitSamples
) -> None:
    ascent = Ascent(
        skilled,
        Augmentation(),
        learning_rate=0.001,
        momentum=0.9,
        weight_decay=0,
        batch_size=64,
        seed=0,
    )
    ascent.epoch(samples.fit)
    ascent.keep(faster=False)
    kept = snapshot(ascent.model)

    rates = []
    for _ in range(2):
        spoiled = Samples(samples.fit.images * float("nan"), samples.fit.labels)
        ascent.epoch(spoiled)
        ascent.take_back()
        assert same_state(ascent.model, kept)
        rates.append(ascent.rate)
    ascent.epoch(samples.fit)

    assert rates == [0.0005, 0.00025]
    assert is_finite(ascent.model)
