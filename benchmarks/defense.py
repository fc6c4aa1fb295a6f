"""Run the tool and other defences, blind, on models whose attacks are known.

    python benchmarks/defense.py --images IMAGES --seeds 0 1 2
    python benchmarks/defense.py --profile digits --samples 200
    python benchmarks/defense.py --checkpoints DATA

Every method gets the model and the same clean samples, and nothing else, and runs with
its defaults; clean accuracy (CA) and attack success rate (ASR) are measured afterwards,
on test images that are not among the samples. The models are the zoo's
(``train_zoo.py``), or those of a folder DATA of checkpoints with ``architectures.py``
and ``measure.py``, which is run (see ``subjects/third_party.py``).

Each run is kept as one JSON file in the work folder and not repeated while its method's
code and the model stay the same, so an interrupted benchmark goes on where it stopped.
The tables, of all runs that are kept for these models, counts and seeds, are written to
``benchmarks/results/``; runs in the data that are there already count as kept, too.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from harness.methods import COMPARED, USUAL
from harness.processes import run_all
from harness.result import publish, read_results
from harness.run import Run, recall
from harness.table import render
from subjects import Subject, third_party_subjects, zoo_subjects
from subjects.zoo_models import MEASURED, POOL
from zoo.entries import PROFILES

from rnp_cli.device import choose_device

RESULTS = Path(__file__).resolve().parent / "results"


def read_options(
    arguments: Sequence[str] | None,
    *,
    description: str | None = __doc__,
    work: Path = Path("build/defense"),
    methods: Collection[str] = COMPARED,
    usual: Collection[str] = USUAL,
) -> argparse.Namespace:
    """Parse the command line.

    work: where runs are kept by default. methods: to choose from; no option if none.
    usual: of these, what is run unless it is told.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, work)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--samples", type=int, nargs="+", default=[500], help="how many clean samples"
    )
    if methods:
        parser.add_argument("--methods", nargs="+", choices=methods, default=[*usual])
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    return parser.parse_args(arguments)


def add_options(parser: argparse.ArgumentParser, work: Path) -> None:
    """Add what says which models are run, on which images, and where all is kept."""
    models = parser.add_mutually_exclusive_group()
    models.add_argument("--profile", choices=sorted(PROFILES), default="cpu")
    models.add_argument("--checkpoints", type=Path, metavar="DATA")
    parser.add_argument("--images", type=Path, help="CIFAR-10 as image files")
    parser.add_argument("--only", default="", help="models whose name holds this")
    parser.add_argument("--work", type=Path, default=work)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument(
        "--pool", type=int, default=POOL, help="test images to draw samples from"
    )
    parser.add_argument(
        "--measured", type=int, default=MEASURED, help="test images to measure on"
    )


def find_subjects(options: argparse.Namespace) -> list[Subject]:
    """List the models that are asked for; end where there is none."""
    found: list[Subject] = []
    if options.checkpoints is not None:
        found += third_party_subjects(options.checkpoints, measured=options.measured)
    else:
        found += zoo_subjects(
            options.profile,
            options.images,
            pool=options.pool,
            measured=options.measured,
        )
    chosen = [subject for subject in found if options.only in subject.name]
    if found and not chosen:
        names = ", ".join(subject.name for subject in found)
        raise SystemExit(f"No model's name holds {options.only!r}; there are {names}.")
    if not found:
        raise SystemExit(_none_found(options))
    return chosen


def _none_found(options: argparse.Namespace) -> str:
    if options.checkpoints is not None:
        return f"{options.checkpoints} holds none of the known checkpoints."
    training = ["python", "benchmarks/train_zoo.py", "--profile", options.profile]
    if options.images is not None:
        training += ["--images", str(options.images)]
    return f"There are no models yet. This trains them: {shlex.join(training)}"


def group_of(options: argparse.Namespace) -> str:
    """Name the models that are asked for."""
    return "checkpoints" if options.checkpoints else str(options.profile)


def results_file(options: argparse.Namespace, kind: str = "defense") -> Path:
    """Return where a table's data go; the page goes beside them."""
    only = [options.only] if options.only else []
    results: Path = options.results
    return results / f"{'-'.join([kind, group_of(options), *only])}.json"


def find_runs(
    options: argparse.Namespace, subjects: Sequence[Subject], methods: Sequence[str]
) -> list[Run]:
    """List all combinations that are asked for."""
    device = str(choose_device(options.device))
    work = options.work.resolve() / group_of(options)
    return [
        Run(
            subject=subject,
            method=method,
            samples=count,
            seed=seed,
            work=work,
            device=device,
        )
        for subject in subjects
        for count in options.samples
        for seed in options.seeds
        for method in methods
    ]


def tabulate(
    options: argparse.Namespace, methods: Sequence[str], kind: str, title: str
) -> None:
    """Run what is missing, then write the table of ``methods`` and its data."""
    subjects = find_subjects(options)
    subjects[0].clean_samples(max(options.samples), 0)  # ends here if there are fewer
    dead = []
    runs = find_runs(options, subjects, options.methods)
    data = results_file(options, kind)
    everything = find_runs(options, subjects, methods)
    recall(everything, read_results(data) if data.exists() else ())
    for result in run_all(runs, jobs=options.jobs):
        print(result.line(), flush=True)
        dead += [result] if result.died else []
    results = [kept for run in everything if (kept := run.kept())] + dead
    page = render(f"{title} on the models of {group_of(options)}", results)
    publish(data, results, page)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then write the tables and their data."""
    tabulate(read_options(arguments), COMPARED, "defense", "Defences")


if __name__ == "__main__":
    main()
