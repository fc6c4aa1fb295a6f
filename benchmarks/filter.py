"""Sort mixed images into clean and triggered ones, on models whose attacks are known.

    python benchmarks/filter.py --images IMAGES --seeds 0 1 2
    python benchmarks/filter.py --profile digits --samples 200
    python benchmarks/filter.py --checkpoints DATA

Takes the same models and options as ``benchmarks/defense.py``, but no ``--methods``.
For each model, test images of which one in ten is triggered are scored by ``rnp
filter``, by its defaults and with a sanitized file (which counts as failed where none
was written), and by STRIP with the same clean samples; of clean models, only how many
images are called suspect is measured. Sanitized files are taken from the folder
``defense`` beside the work folder, where ``defense.py`` works by default, if its runs
are of the code as it is now. Each sorting is kept, and not repeated while code and
model stay the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import get_args

from defense import find_runs, find_subjects, group_of, read_options, results_file
from harness.processes import run_all
from harness.result import publish
from harness.sorting import RATES, Sorted, Sorter, Sorting

IMAGES = 1000  # in a mixed folder

Figure = Callable[[Sorted], float | None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Sort what was not sorted yet, then write the tables and their data."""
    options = read_options(
        arguments, description=__doc__, work=Path("build/filter"), methods=()
    )
    results: list[Sorted] = []
    for result in run_all(find_sortings(options), jobs=options.jobs):
        results.append(result)
        print(_line(result), flush=True)
    data = results_file(options, "filter")
    page = render(f"Triggered images, on the models of {group_of(options)}", results)
    publish(data, results, page)


def find_sortings(options: argparse.Namespace) -> list[Sorting]:
    """List all combinations that are asked for."""
    work = options.work.resolve() / group_of(options)
    defended = options.work.resolve().with_name("defense") / group_of(options)
    return [
        Sorting(
            subject=run.subject,
            sorter=sorter,
            samples=run.samples,
            images=IMAGES,
            seed=run.seed,
            work=work,
            device=run.device,
            defended=replace(run, work=defended),
        )
        for run in find_runs(options, find_subjects(options), ["rnp"])
        for sorter in get_args(Sorter)
    ]


def _line(result: Sorted) -> str:
    told = ", ".join(f"{name} {_mean([result], of)}" for name, of in FIGURES.items())
    return (
        f"{result.subject} {result.sorter} seed {result.seed}, "
        f"{result.samples} samples: {told}, {result.outcome}, "
        f"{result.cpu_seconds:.0f} s of CPU"
    )


def _at(place: int, name: str) -> Figure:
    def figure(result: Sorted) -> float | None:
        value = getattr(result.rates[place], name) if result.rates else None
        return None if value is None else float(value)

    return figure


FIGURES: dict[str, Figure] = {
    "AUROC": lambda result: result.auroc,
    **{f"TPR at {r:.0%}": _at(i, "found") for i, r in enumerate(RATES)},
    **{f"called, {r:.0%}": _at(i, "flagged") for i, r in enumerate(RATES)},
    **{f"false, {r:.0%}": _at(i, "false") for i, r in enumerate(RATES)},
}
_HOW_TO_READ = (
    "*AUROC* and *TPR at* a false-positive rate are of the scores alone. *Called* and "
    "*false* are the shares of triggered and of clean images that are called suspect "
    "at a rate set on the clean samples, as a user has it: *false* should be near that "
    "rate. A sorting that failed has no figures, and is in no mean."
)


def render(title: str, results: Sequence[Sorted]) -> str:
    """Return the page: by attack, by model, and what failed."""
    counts = sorted({r.samples for r in results})
    seeds = ", ".join(str(seed) for seed in sorted({r.seed for r in results}))
    failed = [f"- {_line(r)}" for r in results if r.outcome != "done"]
    parts = [
        f"# {title}",
        f"{', '.join(map(str, counts))} clean samples; seeds {seeds}. {_HOW_TO_READ}",
    ]
    for count in counts:
        told = f", {count} samples" if len(counts) > 1 else ""
        parts += _tables([r for r in results if r.samples == count], told)
    parts += ["## Failed", "\n".join(failed)] if failed else []
    return "\n\n".join(parts) + "\n"


def _tables(results: Sequence[Sorted], told: str) -> list[str]:
    attacked = [r for r in results if r.attack is not None]
    clean = [r for r in results if r.attack is None]
    by_attack = [
        (str(a), [r for r in attacked if r.attack == a]) for a in _attacks(attacked)
    ]
    groups = [*by_attack, ("**all attacks**", attacked), ("clean models", clean)]
    models = [
        (name, [r for r in results if r.subject == name])
        for name in dict.fromkeys(r.subject for r in results)
    ]
    return [
        f"## By attack{told}",
        _table("attack (models)", [(_counted(n, of), of) for n, of in groups if of]),
        f"## By model{told}",
        _table("model", models),
    ]


def _attacks(results: Iterable[Sorted]) -> list[str | None]:
    return list(dict.fromkeys(r.attack for r in results))


def _counted(name: str, results: Sequence[Sorted]) -> str:
    return f"{name} ({len({r.subject for r in results})})"


def _table(first: str, groups: Iterable[tuple[str, Sequence[Sorted]]]) -> str:
    names = [first, "by", *FIGURES, "seconds of CPU"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for name, group in groups:
        for sorter in get_args(Sorter):
            chosen = [r for r in group if r.sorter == sorter]
            cells = [name, sorter, *(_mean(chosen, of) for of in FIGURES.values())]
            seconds = mean(r.cpu_seconds for r in chosen) if chosen else 0
            lines.append("| " + " | ".join([*cells, f"{seconds:.0f}"]) + " |")
    return "\n".join(lines)


def _mean(results: Sequence[Sorted], figure: Figure) -> str:
    known = [value for r in results if (value := figure(r)) is not None]
    return f"{mean(known):.3f}" if known else "–"


if __name__ == "__main__":
    main()
