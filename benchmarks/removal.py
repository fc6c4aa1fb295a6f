"""Let other defences start from what unlearning exposes, on models with known attacks.

    python benchmarks/removal.py --images IMAGES --seeds 0 1 2
    python benchmarks/removal.py --profile digits --samples 200
    python benchmarks/removal.py --checkpoints DATA

The paper claims that other defences do better from what unlearning exposes. Takes the
same models and options as ``benchmarks/defense.py``, but no ``--methods``, and of the
models only the backdoored ones. Each is unlearned, recovered and pruned once for each
draw of samples, as ``rnp sanitize --method rnp`` does it; then

- fine-tuning starts from the pruned model;
- ANP starts its masks where recovery left them, not at 1;
- NAD takes the pruned model as its teacher, not a fine-tuned one;

and all else about them is as published (``benchmarks/exposed/``). They are held against
the same defences as published. Those runs are taken from the table of ``defense.py`` in
the results folder, where they are of the code as it is now, and run here where not.
Each run is kept, and not repeated while code and model stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from defense import find_runs, find_subjects, group_of, read_options, results_file
from exposed import EXPOSED
from harness.exposure import PRUNED, Exposure, Removal
from harness.processes import run_all
from harness.result import Result, publish, read_results
from harness.run import Run, recall
from harness.table import (
    CLEANSED_COST,
    CLEANSED_RATE,
    by_attack,
    by_model,
    cost,
    failures,
)

NOTHING = 0.01  # of CA or ASR in the mean: less is no difference


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then write the table and its data."""
    options = read_options(
        arguments, description=__doc__, work=Path("build/removal"), methods=()
    )
    subjects = [s for s in find_subjects(options) if s.attack is not None]
    if not subjects:
        raise SystemExit("None of these models has a backdoor.")
    as_published = find_runs(options, subjects, [*EXPOSED])
    known = options.results / f"defense-{group_of(options)}.json"
    recall(as_published, read_results(known) if known.exists() else ())
    exposures = list(map(_exposure, find_runs(options, subjects, [PRUNED])))
    names = [f"{name}{Removal.SUFFIX}" for name in EXPOSED]
    removals = list(map(_removal, find_runs(options, subjects, names)))
    results: list[Result] = []
    for runs in (as_published, exposures, removals):
        for result in run_all(runs, jobs=options.jobs):
            print(result.line(), flush=True)
            results.append(result)
    data = results_file(options, "removal")
    page = render(f"Removal from what is exposed, {group_of(options)}", results)
    publish(data, results, page)


def _exposure(run: Run) -> Exposure:
    return Exposure(**_facts(run))


def _removal(run: Run) -> Removal:
    return Removal(**_facts(run))


def _facts(run: Run) -> dict[str, Any]:
    names = ("subject", "method", "samples", "seed", "work", "device")
    return {name: getattr(run, name) for name in names}


_HOW_TO_READ = (
    "Cells are CA / ASR on test images, the mean over models and seeds. A run that "
    "gives no model leaves the old one in use, and counts with the old one's. "
    "*Pruned*: the original without the channels that unlearning exposed, as far as "
    "the accuracy budget goes; its seconds are not in those of the defences after it. "
    f"*Cleansed*: runs with ASR at most {CLEANSED_RATE:.2f} that cost at most "
    f"{CLEANSED_COST:.2f} of CA. Means that differ by at most {NOTHING:.2f} count as "
    "equal."
)


def render(title: str, results: Sequence[Result]) -> str:
    """Return the page: the answer, by attack, by model, and what failed."""
    parts = [f"# {title}", _HOW_TO_READ]
    for count in sorted({r.samples for r in results}, reverse=True):
        of_count = _side_by_side([r for r in results if r.samples == count])
        seeds = ", ".join(str(seed) for seed in sorted({r.seed for r in of_count}))
        parts += [f"## {count} clean samples, seeds {seeds}", answer(of_count)]
        parts += ["### By attack", by_attack(of_count)]
        parts += ["### By model", by_model(of_count)]
        parts += ["### Runs that left the model unchanged", failures(of_count)]
    return "\n\n".join(parts) + "\n"


def answer(results: Sequence[Result]) -> str:
    """Say of each defence whether it does better from what was exposed."""
    lines = [
        "The paper claims that other defences do better when they start from what "
        "unlearning exposes. Here:",
        "",
        "| | as published | exposed | cleansed, as published | cleansed, exposed "
        "| lower ASR in | the claim |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in EXPOSED:
        pairs = _pairs(results, name)
        if not pairs:
            continue
        before, after = ([pair[place] for pair in pairs] for place in (0, 1))
        cells = [
            name,
            *map(_shown, (before, after)),
            *map(_cleansed, (before, after)),
            f"{sum(_rate(b) < _rate(a) for a, b in pairs)} of {len(pairs)}",
            _verdict(before, after),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _side_by_side(results: Sequence[Result]) -> list[Result]:
    order = [PRUNED, *(f"{n}{s}" for n in EXPOSED for s in ("", Removal.SUFFIX))]
    return sorted(results, key=lambda r: order.index(r.method))


def _pairs(results: Sequence[Result], name: str) -> list[tuple[Result, Result]]:
    """Return the runs as published and exposed, of one model and one seed each."""
    known = {(r.method, r.subject, r.seed): r for r in results if r.after is not None}
    return [
        (result, known[exposed])
        for (method, subject, seed), result in known.items()
        if method == name
        and (exposed := (f"{name}{Removal.SUFFIX}", subject, seed)) in known
    ]


def _rate(result: Result) -> float:
    assert result.after is not None
    return result.after.attack_success_rate or 0.0


def _means(results: Sequence[Result]) -> tuple[float, float]:
    """Return CA and ASR."""
    accuracies = [r.after.clean_accuracy for r in results if r.after is not None]
    return mean(accuracies), mean(map(_rate, results))


def _shown(results: Sequence[Result]) -> str:
    return "{:.3f} / {:.3f}".format(*_means(results))


def _is_cleansed(result: Result) -> bool:
    return _rate(result) <= CLEANSED_RATE and cost(result) <= CLEANSED_COST + 1e-9


def _cleansed(results: Sequence[Result]) -> str:
    return f"{sum(map(_is_cleansed, results))} of {len(results)}"


def _verdict(before: Sequence[Result], after: Sequence[Result]) -> str:
    """Weigh by the means alone; what gains and loses is told as such."""
    gained = _means(after)[0] - _means(before)[0]
    stopped = _means(before)[1] - _means(after)[1]
    changes = [change for change in (gained, stopped) if abs(change) > NOTHING]
    if not changes:
        return "no difference"
    if min(changes) > 0:
        return "holds"
    if max(changes) < 0:
        return "does not hold"
    return "less ASR for less CA" if stopped > 0 else "more CA for more ASR"


if __name__ == "__main__":
    main()
