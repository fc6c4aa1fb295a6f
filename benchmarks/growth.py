"""How the cost of a run grows with samples, parameters and classes.

    python benchmarks/growth.py --images IMAGES
    python benchmarks/growth.py --images IMAGES --device cuda --method rnp+repair

One of the three is changed at a time, in networks of random weights with a fitted last
layer (``speeding/models.py``), on images of 32x32: samples from 50 to 5,000 and classes
from 10 to 50 on WRN-16-1; networks from WRN-16-1 to ResNet-50. Each is timed once, in a
process of its own, beside its floor, the bare computation of the same images. Timings
are kept, and not repeated while the code stays the same. Writes a table with the
exponent of each growth (1 is linear), its data, and a picture.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from defense import RESULTS
from harness.plotting import needing_matplotlib
from harness.processes import run_all
from harness.result import publish
from speeding.case import Case, Timing
from speeding.growth import AMOUNTS, Growth, exponent
from subjects import Subject, zoo_subjects
from subjects.zoo_models import MEASURED

from rnp_cli.device import choose_device
from rnp_cli.pipeline.request import Method

SAMPLES = (50, 150, 500, 1500, 5000)
NETWORKS = ("wrn-16-1", "wrn-16-2", "wrn-16-4", "resnet18", "resnet50-cifar")
CLASSES = (10, 20, 50)
USUAL = 500  # samples, where something else grows


def main(arguments: Sequence[str] | None = None) -> None:
    """Time what was not timed yet, then write the table, its data and the picture."""
    with needing_matplotlib():
        from speeding.drawing import draw_growths
    options = _options(arguments)
    cases = _cases(options)
    timings: list[Timing] = []
    for timing in run_all(cases, jobs=1):
        timings.append(timing)
        print(
            f"{timing.network}, {timing.classes} classes, {timing.samples} samples: "
            f"{timing.seconds:.1f} s, floor {timing.floor:.1f} s",
            flush=True,
        )
    device = str(choose_device(options.device)).partition(":")[0]
    data = options.results / f"growth-{device}.json"
    growths = _growths(timings, options)
    page = render(growths, options.method)
    publish(data, timings, page)
    draw_growths(growths, data.with_suffix(".png"))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, help="CIFAR-10 as image files")
    parser.add_argument("--samples", type=int, nargs="+", default=[*SAMPLES])
    parser.add_argument("--networks", nargs="+", default=[*NETWORKS])
    parser.add_argument("--classes", type=int, nargs="+", default=[*CLASSES])
    parser.add_argument("--usual", type=int, default=USUAL, help="samples otherwise")
    parser.add_argument("--method", choices=get_args(Method), default="rnp")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument("--work", type=Path, default=Path("build/growth"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def _cases(options: argparse.Namespace) -> list[Case]:
    """List what is asked for; what two of the three share is there once."""
    subject = _subject(options)
    base = options.networks[0]
    wanted = [(base, CLASSES[0], count) for count in options.samples]
    wanted += [(name, CLASSES[0], options.usual) for name in options.networks]
    wanted += [(base, classes, options.usual) for classes in options.classes]
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    return [
        Case(
            network=network,
            classes=classes,
            subject=subject,
            samples=count,
            method=options.method,
            device=str(choose_device(options.device)),
            number=0,
            work=work,
            with_authors=False,
        )
        for network, classes, count in dict.fromkeys(wanted)
    ]


def _subject(options: argparse.Namespace) -> Subject:
    """Return a model of the zoo, for its images alone."""
    pool = max(options.usual, *options.samples)
    found = zoo_subjects("cpu", options.images, pool=pool, measured=MEASURED)
    if not found:
        raise SystemExit("There is no model of the zoo, whose images are taken.")
    return found[0]


def _growths(timings: Sequence[Timing], options: argparse.Namespace) -> list[Growth]:
    """Sort the timings into what grows in each."""
    usual = {
        "parameters": options.networks[0],
        "classes": CLASSES[0],
        "samples": options.usual,
    }
    growths = []
    for of in AMOUNTS:
        chosen = [
            timing
            for timing in timings
            if all(_setting(timing)[n] == usual[n] for n in usual if n != of)
        ]
        growth = Growth(of=of, timings=chosen)
        growths += [growth] if len({*growth.amounts}) > 1 else []
    return growths


def _setting(timing: Timing) -> dict[str, str | int]:
    return {
        "parameters": timing.network,
        "classes": timing.classes,
        "samples": timing.samples,
    }


def render(growths: Sequence[Growth], method: str) -> str:
    """Return the page: the exponents, then each growth."""
    devices = ", ".join(sorted({t.device for g in growths for t in g.timings}))
    lines = [
        "# How the cost grows",
        "",
        f"`rnp sanitize --method {method}` on {devices}, each timed once; seconds are "
        "of this machine. *Floor*: the bare computation of the same images through the "
        "network. *Exponent*: the slope of log seconds over log amount; 1 is linear, "
        "less is better. How long unlearning takes is up to the network, so that some "
        "send more images through it than others.",
        "",
        "| growth of | from | to | exponent of seconds | of the floor |",
        "|---|---|---|---|---|",
    ]
    for growth in growths:
        amounts = growth.amounts
        cells = [growth.of, f"{min(amounts):,}", f"{max(amounts):,}"]
        cells += [
            f"{exponent(amounts, seconds):.2f}"
            for seconds in (growth.seconds, growth.floors)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    for growth in growths:
        lines += [
            "",
            f"## {growth.of.capitalize()}",
            "",
            f"| {growth.of} | network | seconds | floor | seconds to the floor | "
            "images through the network | peak memory, MiB |",
            "|---|---|---|---|---|---|---|",
            *map(_row, growth.amounts, growth.timings),
        ]
    return "\n".join(lines) + "\n"


def _row(amount: int, timing: Timing) -> str:
    cells = [
        f"{amount:,}",
        timing.network,
        f"{timing.seconds:.1f}",
        f"{timing.floor:.1f}",
        f"{timing.seconds / timing.floor:.2f}",
        f"{sum(timing.images.values()):,}",
        f"{timing.peak_mib:,}",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
