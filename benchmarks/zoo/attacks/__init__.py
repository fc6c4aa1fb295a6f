"""The attacks, by name."""

from zoo.attacks.adaptive_blend import AdaptiveBlend
from zoo.attacks.all_to_all import AllToAll
from zoo.attacks.awp import Awp
from zoo.attacks.badnets import BadNets
from zoo.attacks.blend import Blend
from zoo.attacks.clean import Clean
from zoo.attacks.input_aware import InputAware
from zoo.attacks.label_consistent import LabelConsistent
from zoo.attacks.lira import Lira
from zoo.attacks.sig import Sig
from zoo.attacks.source_specific import SourceSpecific
from zoo.attacks.trojan import Trojan
from zoo.attacks.wanet import WaNet

__all__ = [
    "AdaptiveBlend",
    "AllToAll",
    "Awp",
    "BadNets",
    "Blend",
    "Clean",
    "InputAware",
    "LabelConsistent",
    "Lira",
    "Sig",
    "SourceSpecific",
    "Trojan",
    "WaNet",
]
