"""A short-lived process that guesses architectures from names and shapes alone.

One model a line on stdin, ``[[name, [size, …]], …]`` as JSON; one line on stdout for
each, as soon as it is known. No weights are needed and none are allocated.
"""

from __future__ import annotations

import json
import sys

import torch

from rnp_cli.architectures.identify import identify_all
from rnp_cli.errors import InputRefused


def guess(tensors: list[tuple[str, list[int]]]) -> dict[str, object]:
    """Name what fits these tensors, the usual one first, or say why nothing does."""
    try:
        found = identify_all(
            {name: torch.empty(shape, device="meta") for name, shape in tensors}
        )
    except InputRefused as refusal:
        return {"names": [], "reason": refusal.message}
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        return {"names": [], "reason": f"No network has such shapes: {error}"}
    return {
        "names": list(dict.fromkeys(architecture.name for architecture in found)),
        "matched_by": found[0].matched_by,
        "num_classes": found[0].num_classes,
        "in_channels": found[0].in_channels,
    }


def main() -> None:
    """Answer until stdin ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(guess(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
