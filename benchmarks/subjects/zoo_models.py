"""The zoo's own models as subjects."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load
from torch import nn
from train_zoo import models_folder, read_data
from zoo import generator, networks, store
from zoo.attack import Attack
from zoo.entries import PROFILES, Entry
from zoo.images import Images, fingerprint, unit
from zoo.measure import triggered_images
from zoo.store import kept, load_attack, weights_file, with_weights

from rnp_cli.defense.samples import Samples
from subjects.subject import CODE, Subject, balanced, digest_of

POOL = 2000
MEASURED = 2000
_CODE = tuple(
    Path(str(part))
    for part in (__file__, inspect.getfile(Attack), generator.__file__, store.__file__)
)


@dataclass(frozen=True, kw_only=True)
class ZooModel(Subject):
    """A model that the zoo has trained.

    Of the test images, in an order drawn once, the last ``pool`` (at most half of them)
    are what clean samples are drawn from, and the first ``measured`` what CA and ASR
    are measured on.
    """

    folder: Path
    profile: str
    images: Path | None
    entry: Entry
    pool: int
    measured: int

    def network(self, weights: Path | None = None) -> nn.Module:
        """Put the zoo's weights, or others of the same names, into the network."""
        return with_weights(self.entry, load((weights or self.file).read_bytes()))

    def clean_samples(self, count: int, seed: int) -> Samples:
        """Draw from the pool, the same share of each class."""
        return balanced(_samples(self._parts()[1]), count, seed)

    def test_images(self) -> Samples:
        """Return the images that are measured on."""
        return _samples(self._parts()[0])

    def triggered_images(self) -> Samples | None:
        """Return those of them that the attack counts, stamped, in eight bits."""
        attack = load_attack(self.folder, self.entry)
        if attack is None:
            return None
        pixels, goals = triggered_images(attack, self._parts()[0])
        return Samples(unit(pixels), goals)

    def digest(self) -> str:
        """Cover weights, trigger, code, the split, and which images are split.

        Of the network only what it expects of images: the weights decide the rest.
        """
        trigger = self.file.with_suffix(".trigger.safetensors")
        classes = type(self.entry.attack).__mro__[: -len(Attack.__mro__)]
        code = [Path(inspect.getfile(part)) for part in classes]
        code += [*CODE, *_CODE]
        network = networks.NETWORKS[self.entry.network]
        split = f"{self.pool} {self.measured} {self.entry.attack!r}"
        inputs = f"{network.mean} {network.std} {self._source()}"
        return digest_of([self.file, trigger, *code, split, inputs])

    def _source(self) -> str:
        if self.images is None or self.profile == "digits":
            return self.profile
        return fingerprint(self.images, "test")

    def _parts(self) -> tuple[Images, Images]:
        return _split(self.profile, self.images, self.pool, self.measured)


def zoo_subjects(
    profile: str,
    images: Path | None,
    *,
    pool: int = POOL,
    measured: int = MEASURED,
    folder: Path | None = None,
) -> list[ZooModel]:
    """List the models of a profile that are trained."""
    folder = (folder or models_folder(profile)).resolve()
    return [
        ZooModel(
            name=entry.name,
            attack=None if entry.is_clean else type(entry.attack).__name__,
            file=weights_file(folder, entry),
            arch=networks.NETWORKS[entry.network].arch,
            folder=folder,
            profile=profile,
            images=images,
            entry=entry,
            pool=pool,
            measured=measured,
        )
        for entry in PROFILES[profile]
        if kept(folder, entry) is not None
    ]


@functools.cache
def _split(
    profile: str, place: Path | None, pool: int, measured: int
) -> tuple[Images, Images]:
    test = read_data(profile, place).test
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
    pool = min(pool, len(test) // 2)
    rest = order[: len(test) - pool]
    return test.take(rest[:measured]), test.take(order[len(rest) :])


def _samples(images: Images) -> Samples:
    return Samples(unit(images.pixels), images.labels)
