"""Time the tool, beside the bare computation and the published procedure.

    python benchmarks/speed.py --images IMAGES
    python benchmarks/speed.py --images IMAGES --networks resnet18 --samples 50 500
    python benchmarks/speed.py --profile digits --networks badnets-resnet8-digits

For each network it runs ``rnp sanitize`` by its public API, and counts the images that
go through the network, by stage and by whether gradients are computed; their cost on
one batch that lies ready, measured before and after, is the *floor*: the time of the
computation and of nothing around it. The published procedure is computed in the way in
which its authors' code does it (``speeding/authors.py``). All of it is measured in one
process, repeated, and given as ratios with their spread; seconds are of this machine.

A network is a model of the zoo, or one of random weights with a fitted last layer
(resnet18, resnet50, vit-b-16, wrn-16-1), which is sanitized whatever its evidence.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import get_args

from defense import RESULTS
from harness.processes import run_all
from harness.result import publish
from speeding.case import Case, Timing
from speeding.models import TIMED
from subjects import Subject, zoo_subjects
from subjects.zoo_models import MEASURED, POOL
from zoo.entries import PROFILES

from rnp_cli.device import choose_device
from rnp_cli.pipeline.request import Method

_PUBLISHED = ("unlearn", "recover", "prune")


def main(arguments: Sequence[str] | None = None) -> None:
    """Time what was not timed yet, then write the table and its data."""
    options = _options(arguments)
    timings: list[Timing] = []
    for timing in run_all(list(_cases(options)), jobs=1):
        timings.append(timing)
        print(_line(timing), flush=True)
    device = str(choose_device(options.device)).partition(":")[0]
    data = options.results / f"speed-{options.profile}-{device}.json"
    page = render(timings)
    publish(data, timings, page)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", choices=sorted(PROFILES), default="cpu")
    parser.add_argument("--images", type=Path, help="CIFAR-10 as image files")
    parser.add_argument(
        "--networks", nargs="+", default=["badnets-wrn-16-1", "resnet18"]
    )
    parser.add_argument("--samples", type=int, nargs="+", default=[500])
    parser.add_argument(
        "--method", choices=get_args(Method), default="rnp+repair", help="of the tool"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument("--no-authors", action="store_true", help="leave theirs out")
    parser.add_argument("--work", type=Path, default=Path("build/speed"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def _cases(options: argparse.Namespace) -> list[Case]:
    """List what is asked for, the repetitions outside, so that they interleave."""
    found: list[Subject] = [
        *zoo_subjects(options.profile, options.images, pool=POOL, measured=MEASURED)
    ]
    by_name = {subject.name: subject for subject in found}
    unknown = sorted({*options.networks} - {*by_name, *TIMED})
    if unknown or not found:
        known = ", ".join([*TIMED, *by_name])
        raise SystemExit(f"There is no {', '.join(unknown)}; there are {known}.")
    work = options.work.resolve() / options.profile
    work.mkdir(parents=True, exist_ok=True)
    return [
        Case(
            network=name,
            subject=by_name.get(name, found[0]),
            samples=count,
            method=options.method,
            device=str(choose_device(options.device)),
            number=number,
            work=work,
            with_authors=not options.no_authors,
        )
        for number in range(options.repeats)
        for name in options.networks
        for count in options.samples
    ]


def _line(timing: Timing) -> str:
    theirs = "" if timing.authors is None else f", authors' {timing.authors:.1f} s"
    return (
        f"{timing.network}, {timing.samples} samples, {timing.method}, "
        f"{timing.outcome}: {timing.seconds:.1f} s, floor {timing.floor:.1f} s{theirs}"
    )


def render(timings: Sequence[Timing]) -> str:
    """Return the page: the ratios, then each stage."""
    groups: dict[tuple[str, int, str], list[Timing]] = {}
    for timing in timings:
        groups.setdefault((timing.network, timing.samples, timing.method), []).append(
            timing
        )
    devices = ", ".join(sorted({timing.device for timing in timings}))
    lines = [
        "# How long a run takes",
        "",
        f"On {devices}. Ratios are means of runs in one process each, with their least "
        "and largest; seconds are of this machine. *Floor*: the bare computation of "
        "the same images through the network, launched one operation at a time, which "
        "on a GPU what is replayed may undercut. *Authors'*: unlearn, recover and "
        "prune as published, without looking, repairing and looking again; beside the "
        "whole run, and beside the tool's own unlearning, recovering and pruning.",
        "",
        "| network | parameters | samples | method | outcome | seconds | to the floor "
        "| authors', to the run | to these stages | peak memory, MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(*name, some) for name, some in groups.items()),
        "",
        "## By stage",
        "",
        "| network | samples | stage | seconds | floor | images, forward | with "
        "gradients of inputs | of weights |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (network, samples, _), some in groups.items():
        for stage in _stages(some[0]):
            lines.append(_stage_row(network, samples, stage, some))
    return "\n".join(lines) + "\n"


def _row(network: str, samples: int, method: str, some: Sequence[Timing]) -> str:
    theirs = ["–", "–"]
    if all(t.authors is not None for t in some):
        theirs = [
            _spread(some, lambda t: (t.authors or 0.0) / t.seconds),
            _spread(some, lambda t: (t.authors or 0.0) / _published(t)),
        ]
    cells = [
        network,
        f"{some[0].parameters:,}",
        samples,
        method,
        ", ".join(sorted({t.outcome for t in some})),
        _spread(some, lambda t: t.seconds, digits=1),
        _spread(some, lambda t: t.seconds / t.floor),
        *theirs,
        max(t.peak_mib for t in some),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def _published(timing: Timing) -> float:
    """Return the seconds of the stages that the paper has."""
    return sum(timing.stages.get(stage, 0.0) for stage in _PUBLISHED)


def _spread(
    some: Sequence[Timing], of: Callable[[Timing], float], digits: int = 2
) -> str:
    values = [of(timing) for timing in some]
    text = f"{mean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f} to {max(values):.{digits}f})"
    return text


def _stages(timing: Timing) -> list[str]:
    return [*timing.stages, *(s for s in timing.floors if s not in timing.stages)]


def _stage_row(network: str, samples: int, stage: str, some: Sequence[Timing]) -> str:
    counts = [
        f"{some[0].images.get(f'{stage} {kind}', 0):,}"
        for kind in ("forward", "inputs", "weights")
    ]
    took = [t.stages[stage] for t in some if stage in t.stages]
    floor = mean(t.floors.get(stage, 0.0) for t in some)
    seconds = f"{mean(took):.2f}" if took else "–"
    cells = [network, str(samples), stage, seconds, f"{floor:.2f}", *counts]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
