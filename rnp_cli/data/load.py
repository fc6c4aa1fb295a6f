"""From a folder and a network to labelled samples and the input that fits both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from rnp_cli.data.classifier import Classifier, InputSpec
from rnp_cli.data.decode import decode
from rnp_cli.data.digest import digest_of_files
from rnp_cli.data.listing import Listing, class_numbers, list_images, shortened
from rnp_cli.data.search import find_input_spec
from rnp_cli.data.shapes import Known, accepted_shapes
from rnp_cli.defense.samples import Samples
from rnp_cli.defense.score import logits_of
from rnp_cli.errors import InputRefused, UsageError

LabelSource = Literal["folder", "from-model"]
_PLAUSIBLE_ABOVE_CHANCE = 0.2


@dataclass(frozen=True, eq=False)
class CleanSamples:
    """Clean samples, and the network made ready for them.

    reading: which of the networks tried it is. sha256: of the files that were used,
    as ``digest_of_files`` makes it, the table of their labels among them.
    """

    reading: int
    classifier: Classifier
    spec: InputSpec
    samples: Samples
    num_classes: int
    class_names: tuple[str, ...]  # empty when the folder names none
    clean_accuracy: float
    sha256: str


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
    _check(predicted, given, accuracy, num_classes, names)
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
    )


def plausible_accuracy(num_classes: int) -> float:
    """Return the least clean accuracy with which a model counts as one that works."""
    chance = 1 / num_classes
    return chance + _PLAUSIBLE_ABOVE_CHANCE * (1 - chance)


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


def _check(
    predicted: Tensor,
    labels: Tensor | None,
    accuracy: float,
    num_classes: int,
    names: tuple[str, ...],
) -> None:
    if labels is None:
        if len(set(predicted.tolist())) < 2:
            raise InputRefused(
                "The model calls all samples one class, whatever they are fed as.",
                hint="Its predictions cannot serve as labels: give labelled images.",
            )
        return
    least = plausible_accuracy(num_classes)
    if accuracy >= least:
        return
    message = (
        f"The model labels only {accuracy:.1%} of the clean samples correctly under "
        f"the best of the known input conventions; {least:.1%} is the least that "
        "makes sense. A model at chance cannot be sanitized."
    )
    other = _other_order(predicted, labels, num_classes)
    if other is not None:
        pairs = ", ".join(
            f"{names[true] or true} is class {model}" for true, model in other.items()
        )
        raise InputRefused(
            message,
            hint="The model seems to number the classes differently from the folder: "
            f"{pairs}. Name the folders, or the labels of labels.csv, by these "
            "numbers.",
        )
    taken = shortened(f"{name!r} as {i}" for i, name in enumerate(names) if name)
    raise InputRefused(
        message,
        hint="Check that the samples are of the model's own classes, in its order "
        f"(taken were {taken}); or say what it expects with --input-size, --range, "
        "--mean and --std.",
    )


def _other_order(
    predicted: Tensor, labels: Tensor, num_classes: int
) -> dict[int, int] | None:
    """Map true class to the model's class where the model merely numbers otherwise."""
    mapping = {}
    for true in sorted(set(labels.tolist())):
        counts = torch.bincount(predicted[labels == true], minlength=num_classes)
        mapping[true] = int(counts.argmax())
    renamed = torch.tensor([mapping[true] for true in labels.tolist()])
    share = (predicted == renamed).double().mean().item()
    one_to_one = len(set(mapping.values())) == len(mapping)
    return (
        mapping if one_to_one and share >= 2 * plausible_accuracy(num_classes) else None
    )
