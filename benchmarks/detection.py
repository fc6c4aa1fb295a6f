"""Look for backdoors, blind, in models whose attacks are known, and in clean ones.

    python benchmarks/detection.py --images IMAGES --seeds 0 1 2
    python benchmarks/detection.py --checkpoints DATA --seeds 0 1 2

Takes the same models and options as ``benchmarks/defense.py``, but no ``--methods``;
runs ``rnp detect --hear-all`` by its public API, and Neural Cleanse on the same
samples, and writes how well each tells backdoored models from clean ones (AUROC), how
many clean models it calls backdoored, and how often it names the right class. A search
that fails is in none of these figures; how many did is told. Each search is kept, and
not repeated while code and model stay the same.

``rnp sanitize`` hears the same verdict, by the same function of the same model,
samples and seed, before it changes anything. So where the table of ``defense.py`` in
the results folder has a run of the code as it is now, the verdict is taken from there,
and ``rnp detect`` is run for the others only; how many were taken is told, and they
count in all figures but the seconds. Neural Cleanse is computed in bfloat16, as the
baselines are (see ``harness/verdicts.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import get_args

import torch
from defense import find_subjects, group_of, read_options, results_file
from harness.processes import run_all
from harness.result import publish, read_results
from harness.sorting import auroc
from harness.verdicts import Found, Search, Searcher, tell

from rnp_cli.device import choose_device


def main(arguments: Sequence[str] | None = None) -> None:
    """Search what was not searched yet, then write the tables and their data."""
    options = read_options(
        arguments, description=__doc__, work=Path("build/detection"), methods=()
    )
    work = options.work.resolve() / group_of(options)
    device = str(choose_device(options.device))
    searches = [
        Search(
            subject=subject,
            searcher=searcher,
            samples=count,
            seed=seed,
            work=work,
            device=device,
        )
        for subject in find_subjects(options)
        for count in options.samples
        for seed in options.seeds
        for searcher in get_args(Searcher)
    ]
    heard = options.results / f"defense-{group_of(options)}.json"
    searches = tell(searches, read_results(heard) if heard.exists() else ())
    results: list[Found] = []
    for found in run_all(searches, jobs=options.jobs):
        results.append(found)
        print(_line(found), flush=True)
    data = results_file(options, "detection")
    page = render(results)
    publish(data, results, page)


def _line(found: Found) -> str:
    said = found.level if found.target is None else f"{found.level}, {found.target}"
    kind = "" if found.kind is None else f"{found.kind} "
    return (
        f"{found.subject} {found.searcher} seed {found.seed}, "
        f"{found.samples} samples: {found.outcome}, {kind}{said} "
        f"(true {found.true_target}), score {_score(found)}, {_time(found)}"
    )


def _time(found: Found) -> str:
    if found.is_told:
        return "told by rnp sanitize"
    return f"{found.cpu_seconds:.0f} s of CPU"


def _score(found: Found) -> str:
    return "–" if found.score is None else f"{found.score:.4g}"


def render(results: Sequence[Found]) -> str:
    """Return the page: a summary of each searcher, then every search."""
    groups: dict[str, list[Found]] = {}
    for found in results:
        name = f"{found.searcher}, {found.samples} samples"
        groups.setdefault(name, []).append(found)
    lines = [
        "| | " + " | ".join(groups) + " |",
        "|---" * (len(groups) + 1) + "|",
    ]
    for title, figure in (
        ("AUROC, backdoored against clean", _auroc),
        ("backdoored models flagged", _caught),
        ("clean models flagged", _false),
        ("right class, of single targets", _right),
        ("verdicts taken from rnp sanitize", _told),
        ("seconds of CPU, mean of the others", _seconds),
    ):
        cells = [figure([f for f in of if f.is_done]) for of in groups.values()]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    cells = [_failed(of) for of in groups.values()]
    lines.append("| searches failed, in no figure above | " + " | ".join(cells) + " |")
    rows = [
        "| model | by | samples | seed | verdict | class | true | score | masks |",
        "|---|---|---|---|---|---|---|---|---|",
        *map(_row, results),
    ]
    return "\n".join(["# Detection", "", *lines, "", *rows]) + "\n"


def _row(found: Found) -> str:
    verdict = found.level if found.kind is None else f"{found.level}, {found.kind}"
    if not found.is_done:
        verdict = " ".join(found.outcome.replace("|", "/").split())
    shown = " ".join(f"{norm:.0f}" for norm in found.norms)
    true = found.true_target if found.true_target is not None else found.attack
    cells = [
        found.subject,
        found.searcher,
        found.samples,
        found.seed,
        verdict,
        "–" if found.target is None else found.target,
        "–" if true is None else true,
        _score(found),
        shown,
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def _auroc(results: Sequence[Found]) -> str:
    known = [(f.attack, f.score) for f in results if f.score is not None]
    bad = torch.tensor([score for attack, score in known if attack is not None])
    good = torch.tensor([score for attack, score in known if attack is None])
    area = auroc(good, bad) if len(good) else None
    return "–" if area is None else f"{area:.3f}"


def _caught(results: Sequence[Found]) -> str:
    bad = [f for f in results if f.attack is not None]
    return f"{sum(f.flagged for f in bad)} of {len(bad)}"


def _false(results: Sequence[Found]) -> str:
    good = [f for f in results if f.attack is None]
    return f"{sum(f.flagged for f in good)} of {len(good)}"


def _right(results: Sequence[Found]) -> str:
    single = [f for f in results if f.true_target is not None]
    right = sum(f.flagged and f.target == f.true_target for f in single)
    return f"{right} of {len(single)}"


def _told(results: Sequence[Found]) -> str:
    return f"{sum(f.is_told for f in results)} of {len(results)}"


def _seconds(results: Sequence[Found]) -> str:
    measured = [f.cpu_seconds for f in results if not f.is_told]
    return f"{mean(measured):.0f}" if measured else "–"


def _failed(results: Sequence[Found]) -> str:
    return f"{sum(not f.is_done for f in results)} of {len(results)}"


if __name__ == "__main__":
    main()
