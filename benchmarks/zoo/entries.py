"""Which models the zoo holds: a profile is a table of entries."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zoo.attack import Attack
from zoo.attacks import (
    AdaptiveBlend,
    AllToAll,
    Awp,
    BadNets,
    Blend,
    Clean,
    InputAware,
    LabelConsistent,
    Lira,
    Sig,
    SourceSpecific,
    Trojan,
    WaNet,
)
from zoo.train import Recipe

# These take longer to learn than others, and get two epochs more.
SLOW = (InputAware, Lira, SourceSpecific, WaNet)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of the zoo: an attack on a network, and how both are trained."""

    name: str
    attack: Attack
    network: str
    recipe: Recipe
    seed: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether this is a clean twin."""
        return isinstance(self.attack, Clean)

    @property
    def is_twin(self) -> bool:
        """Whether backdoored models are held against this one."""
        return self.name == self.twin

    @property
    def twin(self) -> str:
        """The name of the clean model of the same network."""
        return f"clean-{self.network}-0"


def _entries(
    network: str, recipe: Recipe, *, clean: int, attacks: dict[str, Attack]
) -> list[Entry]:
    entries = [
        Entry(
            name=f"clean-{network}-{seed}",
            attack=Clean(),
            network=network,
            recipe=recipe,
            seed=seed,
        )
        for seed in range(clean)
    ]
    further = Recipe(epochs=2, rate=recipe.rate / 10)  # from the clean twin on
    for name, attack in attacks.items():
        chosen = further if attack.start == "twin" else recipe
        if isinstance(attack, (AllToAll, SourceSpecific)):
            # Where a crop cuts the patch off, its labels teach nothing but noise.
            chosen = replace(chosen, crop_padding=1)
        if isinstance(attack, SLOW):
            chosen = replace(chosen, epochs=chosen.epochs + 2)
        entries.append(
            Entry(
                name=f"{name}-{network}",
                attack=attack,
                network=network,
                recipe=chosen,
                seed=100,
            )
        )
    return entries


def _every_attack() -> dict[str, Attack]:
    """Return all attacks, each with a target of its own."""
    return {
        "badnets": BadNets(target=0),
        "blend": Blend(target=1),
        "sig": Sig(target=2),
        "wanet": WaNet(target=3, strength=1.5),
        "a-blend": AdaptiveBlend(target=4),
        "trojan": Trojan(target=6),
        "dynamic": InputAware(target=7, share=0.15, density=0.06, rate=1e-2),
        "awp": Awp(target=8),
        "cl": LabelConsistent(target=9),
        "lira": Lira(target=1, share=0.2, strength=0.06),
        "all2all": AllToAll(share=0.3),
        "one2one": SourceSpecific(target=5, source=1, cover=0.05),
    }


def _some(*names: str) -> dict[str, Attack]:
    attacks = _every_attack()
    return {name: attacks[name] for name in names}


def _but(*names: str) -> dict[str, Attack]:
    return {n: attack for n, attack in _every_attack().items() if n not in names}


CPU = [
    *_entries("wrn-16-1", Recipe(), clean=3, attacks=_but("dynamic", "lira")),
    *_entries(
        "plain-cnn",
        Recipe(epochs=10, rate=0.05),
        clean=2,
        attacks={"badnets": BadNets(target=8), "blend": Blend(target=9)},
    ),
    *_entries(
        "preactresnet18-w12", Recipe(), clean=2, attacks=_some("dynamic", "lira")
    ),
    *_entries("resnet20", Recipe(), clean=1, attacks={"badnets": BadNets(target=2)}),
]

# The networks of the paper, at full width.
GPU = [
    entry
    for network in ("resnet18", "preactresnet18", "vgg19-bn", "mobilenetv2")
    for entry in _entries(network, Recipe(epochs=15), clean=1, attacks=_every_attack())
]

DIGITS = _entries(
    "resnet8-digits",
    Recipe(epochs=30, batch=64, rate=0.1, weight_decay=5e-3, crop_padding=0),
    clean=1,
    attacks={"badnets": BadNets(target=7, share=0.3), "blend": Blend(target=3)},
)

PROFILES = {"cpu": CPU, "gpu": GPU, "digits": DIGITS}
