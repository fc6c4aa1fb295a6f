"""What each of the tool's ideas contributes: the tool without it, on known attacks.

    python benchmarks/ablation.py --images IMAGES --seeds 0 1 2
    python benchmarks/ablation.py --images IMAGES --methods rnp without-distillation

Takes the same models and options as ``benchmarks/defense.py``, and keeps runs in the
same way; a column is the tool by its defaults, by pruning alone, or with one thing left
out (``harness/ablations.py``). An idea whose column is no worse has no business in the
tool.
"""

from __future__ import annotations

from collections.abc import Sequence

from defense import read_options, tabulate
from harness.methods import ABLATED


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then write the table and its data."""
    options = read_options(
        arguments, description=__doc__, methods=ABLATED, usual=ABLATED
    )
    tabulate(options, ABLATED, "ablation", "The tool without one of its ideas")


if __name__ == "__main__":
    main()
