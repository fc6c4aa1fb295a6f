"""Other people's checkpoints as subjects, by a folder that says how to measure them.

The folder holds the checkpoints, ``architectures.py``, and ``measure.py`` with a table
CASES (file, factory, dataset, preprocess, trigger, target, source) and the functions
``test_images``, ``load_weights`` and ``write_clean_dir``. Both are run: they must be
yours.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from zoo.images import quantised, unit

from rnp_cli.data.classifier import Output, as_logits, kind_of_output
from rnp_cli.data.decode import decode, image_size
from rnp_cli.data.listing import list_images
from rnp_cli.defense.samples import Samples
from subjects.subject import CODE, Subject, digest_of

MEASURED = 2000
CLASSES = 10


class Preprocessed(nn.Module):
    """A network with what it expects of images, and its softmax undone."""

    def __init__(
        self, network: nn.Module, preprocess: Callable[[Tensor], Tensor], kind: Output
    ) -> None:
        super().__init__()
        self.network = network
        self._preprocess = preprocess
        self._kind: Output = kind

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, class); images (batch, channel, height, width) in [0, 1]."""
        return as_logits(self.network(self._preprocess(images)), self._kind)


@dataclass(frozen=True, kw_only=True)
class ThirdParty(Subject):
    """A case of ``measure.py`` in the folder ``data``."""

    data: Path
    measured: int

    def network(self, weights: Path | None = None) -> nn.Module:
        """Build the case's network with its own weights, or with others."""
        network = self._case().factory()
        network.load_state_dict(self._script().load_weights(weights or self.file))
        network.eval()
        some = self._case().preprocess(self.test_images().images[:100])
        with torch.no_grad():
            kind = kind_of_output(network(some))
        return Preprocessed(network, self._case().preprocess, kind).eval()

    def clean_samples(self, count: int, seed: int) -> Samples:
        """Take the clean training images that ``measure.py`` draws."""
        script, case = self._script(), self._case()
        with tempfile.TemporaryDirectory() as place:
            script.write_clean_dir(case, Path(place), count, seed)
            listing = list_images(Path(place))
            size = image_size(listing.paths[0])
            channels = 1 if case.dataset == "mnist" else 3
            images = decode(listing.paths, channels=channels, size=size, fit="squash")
        names = listing.labels or ()
        numbers = [int(n) if n.isdigit() else script.CIFAR10.index(n) for n in names]
        return Samples(images, torch.tensor(numbers))

    def test_images(self) -> Samples:
        """Take the test images that ``measure.py`` draws."""
        return Samples(*_test_images(self.data, self._case().dataset, self.measured))

    def triggered_images(self) -> Samples | None:
        """Stamp them, in eight bits as files hold them, whoever reads them.

        The target "next" is every class to the next, otherwise it is one class.
        """
        case, clean = self._case(), self.test_images()
        if case.trigger is None:
            return None
        if case.target == "next":
            goals = (clean.labels + 1) % CLASSES
        else:
            goals = torch.full_like(clean.labels, case.target)
        counted = goals != clean.labels
        if case.source is not None:
            counted = clean.labels == case.source
        stamped = quantised(case.trigger(clean.images[counted]))
        return Samples(unit(stamped), goals[counted])

    def digest(self) -> str:
        """Cover the weights, both scripts and the code here."""
        scripts = [self.data / name for name in ("measure.py", "architectures.py")]
        code = [*CODE, Path(__file__)]
        return digest_of([self.file, *scripts, *code, str(self.measured)])

    def _script(self) -> Any:
        return _load(self.data / "measure.py")

    def _case(self) -> Any:
        return self._script().CASES[self.name]


def third_party_subjects(data: Path, *, measured: int = MEASURED) -> list[ThirdParty]:
    """List the cases of a folder; the family of an attack is in a case's name."""
    data = data.resolve()
    factories = data / "architectures.py"
    return [
        ThirdParty(
            name=name,
            attack=None if case.trigger is None else name.split("-")[1],
            file=data / case.file,
            arch=f"{factories}:{case.factory.__name__}",
            data=data,
            measured=measured,
        )
        for name, case in _load(data / "measure.py").CASES.items()
    ]


@functools.cache
def _load(script: Path) -> Any:
    spec = importlib.util.spec_from_file_location("measure", script)
    if spec is None or spec.loader is None or not script.exists():
        raise SystemExit(f"{script} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules["measure"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@functools.cache
def _test_images(data: Path, dataset: str, count: int) -> tuple[Tensor, Tensor]:
    images, labels = _load(data / "measure.py").test_images(dataset, count)
    return images, labels
