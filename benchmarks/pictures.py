"""Draw the tables of ``defense.py``: what each defence did, and the pruning path.

    python benchmarks/pictures.py --images IMAGES
    python benchmarks/pictures.py --profile digits --samples 200
    python benchmarks/pictures.py --checkpoints DATA

takes the same options, reads the table's JSON in ``benchmarks/results/`` and writes two
PNGs beside it: CA and ASR before and after, one panel per method; and CA and ASR along
the tool's pruning path, one panel per backdoored model. For the path, the channels that
the tool's report ranks are pruned one after another and measured, which is kept in the
work folder.
"""

from __future__ import annotations

from collections.abc import Sequence

from defense import find_runs, find_subjects, read_options, results_file
from harness.path import measured_path
from harness.plotting import needing_matplotlib
from harness.result import read_results


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw both pictures of the first seed and the largest count of samples."""
    with needing_matplotlib():
        from harness.drawing import draw_outcomes, draw_paths
    options = read_options(arguments, description=__doc__)
    data = results_file(options)
    if not data.exists():
        raise SystemExit(f"There is no {data}: benchmarks/defense.py writes it.")
    count = max(options.samples)
    results = [r for r in read_results(data) if r.samples == count]
    outcomes = data.with_name(f"{data.stem}-outcomes.png")
    draw_outcomes(results, outcomes)
    subjects = [s for s in find_subjects(options) if s.attack is not None]
    options.samples, options.seeds = [count], options.seeds[:1]
    paths = [
        path
        for run in find_runs(options, subjects, ["rnp"])
        if (path := measured_path(run)) is not None
    ]
    drawn = [outcomes]
    if paths:
        drawn.append(data.with_name(f"{data.stem}-paths.png"))
        draw_paths(paths, drawn[-1])
    print("\n".join(map(str, drawn)))


if __name__ == "__main__":
    main()
