"""Whether a network knows the clean samples that it is to be judged by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rnp_cli.data.better import BetterInput
from rnp_cli.data.conventions import Convention
from rnp_cli.data.listing import shortened
from rnp_cli.errors import InputRefused

_PLAUSIBLE_ABOVE_CHANCE = 0.2


def plausible_accuracy(num_classes: int) -> float:
    """Return the least clean accuracy with which a model counts as one that works."""
    chance = 1 / num_classes
    return chance + _PLAUSIBLE_ABOVE_CHANCE * (1 - chance)


def check_known(
    predicted: Tensor,
    labels: Tensor | None,
    num_classes: int,
    names: Sequence[str],
    convention: Convention | None,
    better: BetterInput | None,
) -> None:
    """Raise InputRefused where a network does not know the samples; say what may help.

    predicted and labels: (count,) int64; labels None where there are none. names: of
    the classes, "" for one without samples. convention: the one that was given, if
    any; better: what fits better than that.
    """
    if labels is None:
        if len(set(predicted.tolist())) < 2:
            raise InputRefused(
                "The model calls all samples one class, whatever they are fed as.",
                hint="Its predictions cannot serve as labels: give labelled images.",
            )
        return
    accuracy = (predicted == labels).double().mean().item()
    least = plausible_accuracy(num_classes)
    if accuracy >= least:
        return
    fed = (
        "under the best of the known input conventions"
        if convention is None
        else "as --range, --mean and --std have them fed"
    )
    message = (
        f"The model labels only {accuracy:.1%} of the clean samples correctly {fed}; "
        f"{least:.1%} is the least that makes sense. A model at chance cannot be "
        "sanitized."
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
    if better is not None and better.accuracy >= least:
        raise InputRefused(
            message,
            hint=f"Fed as {better.convention}, it labels {better.accuracy:.1%} of them "
            "correctly: leave these options out, and that is found by trying.",
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
