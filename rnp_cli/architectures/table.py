"""Every family the tool knows; a new one is a file and a line here."""

from __future__ import annotations

from rnp_cli.architectures import (
    mobilenet_v2,
    mobilenet_v2_torchvision,
    preact_resnet,
    resnet_cifar,
    resnet_thin,
    resnet_torchvision,
    vgg,
    wide_resnet,
)
from rnp_cli.architectures.family import Family

FAMILIES: tuple[Family, ...] = (
    resnet_cifar.FAMILY,
    resnet_thin.FAMILY,
    preact_resnet.FAMILY,
    wide_resnet.FAMILY,
    vgg.FAMILY,
    mobilenet_v2.FAMILY,
    mobilenet_v2_torchvision.FAMILY,
    resnet_torchvision.FAMILY,
)


def known_names() -> tuple[str, ...]:
    """Return the names that ``--arch`` knows without another package."""
    return tuple(slug for family in FAMILIES for slug in family.slugs)
