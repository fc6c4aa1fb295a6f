"""What a subject is: a model, what a defender has, and what only a benchmark has."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import nn
from zoo import images, measure
from zoo.measure import Measured

from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import clean_accuracy

CODE = tuple(Path(str(part)) for part in (__file__, images.__file__, measure.__file__))


@dataclass(frozen=True, kw_only=True)
class Subject(ABC):
    """One model under test; names and paths alone, so that any process can load it.

    attack: the family of its attack, None for a clean model. file: the checkpoint as
    the tool gets it. arch: what to tell the tool where it asks for an architecture.
    """

    name: str
    attack: str | None
    file: Path
    arch: str | None

    @abstractmethod
    def network(self, weights: Path | None = None) -> nn.Module:
        """Return the model: images (batch, channel, height, width) in [0, 1] to logits.

        weights: a sanitized file to take instead of the subject's own.
        """

    @abstractmethod
    def clean_samples(self, count: int, seed: int) -> Samples:
        """Draw what a defender has; none of it is among ``test_images``."""

    @abstractmethod
    def test_images(self) -> Samples:
        """Return the images that clean accuracy is measured on."""

    @abstractmethod
    def triggered_images(self) -> Samples | None:
        """Return test images with the trigger, labelled with what the attacker wants.

        None for a clean model. Only images that the attack makes a claim about.
        """

    @abstractmethod
    def digest(self) -> str:
        """Return a digest of all that a measurement depends on but the tool's code.

        The code that draws, stamps and rounds images counts: see ``CODE``.
        """

    def measure(self, model: nn.Module) -> Measured:
        """Measure CA and ASR of a model in this subject's place, on its device."""
        device = next(model.parameters()).device
        triggered = self.triggered_images()
        success = None
        if triggered is not None:
            success = clean_accuracy(model, triggered.to(device))
        accuracy = clean_accuracy(model, self.test_images().to(device))
        return Measured(clean_accuracy=accuracy, attack_success_rate=success)


def digest_of(parts: Iterable[Path | str]) -> str:
    """Return a digest of files, where they are there, and of texts.

    Of Python files it covers the code, not the comments, docstrings and line breaks.
    """
    digest = sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
        elif part.suffix == ".py":
            digest.update(_code(part).encode())
        elif part.exists():
            digest.update(part.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _code(file: Path) -> str:
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    """Tell docstrings, and other constants that stand for themselves."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def balanced(samples: Samples, count: int, seed: int) -> Samples:
    """Draw ``count`` samples, the same share of each class."""
    if count > len(samples):
        raise SystemExit(f"{count} clean samples are asked for, {len(samples)} there")
    order = torch.randperm(
        len(samples), generator=torch.Generator().manual_seed(seed)
    ).tolist()
    seen: dict[int, int] = {}
    turns = []
    for index in order:
        label = int(samples.labels[index])
        seen[label] = seen.get(label, 0) + 1
        turns.append((seen[label], index))
    return samples.take(torch.tensor([index for _, index in sorted(turns)[:count]]))
