"""From a folder and a network to labelled samples and the input that fits both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from rnp_cli.data.better import BetterInput, better_input
from rnp_cli.data.classifier import Classifier, InputSpec
from rnp_cli.data.decode import decode
from rnp_cli.data.digest import digest_of_files
from rnp_cli.data.listing import Listing, class_numbers, list_images
from rnp_cli.data.plausible import check_known
from rnp_cli.data.search import find_input_spec
from rnp_cli.data.shapes import Known, accepted_shapes
from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of
from rnp_cli.errors import InputRefused, UsageError

LabelSource = Literal["folder", "from-model"]


@dataclass(frozen=True, eq=False)
class CleanSamples:
    """Clean samples, and the network made ready for them.

    reading: which of the networks tried it is. sha256: of the files that were used,
    as ``digest_of_files`` makes it, the table of their labels among them. better: what
    fits clearly better than the input convention that was given, if anything does.
    """

    reading: int
    classifier: Classifier
    spec: InputSpec
    samples: Samples
    num_classes: int
    class_names: tuple[str, ...]  # empty when the folder names none
    clean_accuracy: float
    sha256: str
    better: BetterInput | None = None


def load_clean_samples(
    folder: Path,
    networks: Sequence[nn.Module],
    known: Known,
    *,
    labels: LabelSource,
    limit: int,
    seed: int,
    device: torch.device,
) -> CleanSamples:
    """Load at most ``limit`` samples, and find what reads them best.

    networks: readings of one checkpoint that differ in what weights do not show.
    Raises InputRefused for a folder that cannot serve, and when the network does not
    know the samples under any convention.
    """
    listing = list_images(folder)
    if labels == "folder" and listing.labels is None:
        raise UsageError(
            f"{folder} has images but no labels.",
            hint="Sort them into one sub-folder per class, add a labels.csv, or take "
            "the model's own predictions as labels with --labels from-model.",
        )
    chosen = _balanced(listing, limit, seed)
    paths = [listing.paths[i] for i in chosen]
    shapes, num_classes = accepted_shapes(networks, paths, known, device=device)
    numbers, names = _numbers(listing, num_classes, labels)
    if len(paths) < num_classes:
        raise InputRefused(
            f"{len(paths)} images of {folder} are too few for {num_classes} classes.",
            hint="Give several images of each class; a few hundred serve best. "
            f"At most {limit} are used, unless --max-samples says otherwise.",
        )
    given = None if numbers is None else numbers[chosen]
    found = find_input_spec(
        networks, paths, given, shapes, known.convention, seed=seed, device=device
    )
    spec = found.spec
    images = decode(paths, channels=spec.channels, size=spec.size, fit=spec.fit)
    classifier = Classifier(networks[found.network], spec).to(device).eval()
    logits = logits_of(classifier, images.to(device)).cpu()
    predicted = logits.argmax(1)
    final = predicted if given is None else given
    accuracy = (predicted == final).double().mean().item()
    better = None
    if given is not None and known.convention is not None:
        better = better_input(
            networks, paths, given, shapes, predicted, seed=seed, device=device
        )
    check_known(predicted, given, num_classes, names, known.convention, better)
    samples = Samples(images, final).to(device)
    read = paths if given is None or not listing.table else [*paths, listing.table]
    return CleanSamples(
        found.network,
        classifier,
        spec,
        samples,
        num_classes,
        names,
        accuracy,
        digest_of_files(folder, read),
        better,
    )


def _numbers(
    listing: Listing, num_classes: int, source: LabelSource
) -> tuple[Tensor | None, tuple[str, ...]]:
    if source == "from-model" or listing.labels is None:
        return None, ()
    names = listing.class_names()
    if len(names) < 2:
        raise InputRefused(
            "All clean samples are of one class.",
            hint="The samples must show what the model is for: give every class.",
        )
    number = class_numbers(names, num_classes)
    ordered = [""] * num_classes
    for name, index in number.items():
        ordered[index] = name
    return torch.tensor([number[label] for label in listing.labels]), tuple(ordered)


def _balanced(listing: Listing, limit: int, seed: int) -> list[int]:
    """Take at most ``limit`` indices, the same share of each class."""
    count = len(listing.paths)
    if count <= limit:
        return list(range(count))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    seen: Counter[str] = Counter()
    turns = []
    for index in order.tolist():
        label = listing.labels[index] if listing.labels else ""
        turns.append((seen[label], index))
        seen[label] += 1
    return sorted(index for _, index in sorted(turns)[:limit])
