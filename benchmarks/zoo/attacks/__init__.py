"""The attacks, by name."""

from zoo.attacks.adaptive_blend import AdaptiveBlend
from zoo.attacks.all_to_all import AllToAll
from zoo.attacks.badnets import BadNets
from zoo.attacks.blend import Blend
from zoo.attacks.clean import Clean
from zoo.attacks.sig import Sig
from zoo.attacks.source_specific import SourceSpecific
from zoo.attacks.wanet import WaNet

__all__ = [
    "AdaptiveBlend",
    "AllToAll",
    "BadNets",
    "Blend",
    "Clean",
    "Sig",
    "SourceSpecific",
    "WaNet",
]
