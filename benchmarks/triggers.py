"""Hold recovered triggers against the true ones, on models whose patches are known.

    python benchmarks/triggers.py --images IMAGES --seeds 0 1 2
    python benchmarks/triggers.py --profile digits --samples 200
    python benchmarks/triggers.py --checkpoints DATA

Takes the same models and options as ``benchmarks/defense.py``, but no ``--methods``,
and of the models only those whose trigger covers a part of the image. ``rnp trigger``
is run by its public API and defaults, once ``--on original`` and once ``--on
unlearned``. What it recovers for the attack's own class, or for "any other class" where
the attack moves every class on, is held against the truth: the mask, from half of its
height on, against the pixels that the attack changes (intersection over union), and the
estimated attack success rate against the measured one. A sheet of masks, of the first
seed and the largest count of samples, is drawn beside the table. Each recovery is kept,
and not repeated while code and model stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import get_args

from defense import find_subjects, group_of, read_options, results_file
from estimates import CLOSE, PATCHES
from harness.masks_sheet import draw_masks
from harness.patch import REACH, SHOWN, STAMPED
from harness.processes import run_all
from harness.recovery import On, Recovered, Recovery
from harness.result import publish

from rnp_cli.device import choose_device

Figure = Callable[[Recovered], float | None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Recover what was not recovered yet, then write the table, its data and sheet."""
    options = read_options(
        arguments, description=__doc__, work=Path("build/triggers"), methods=()
    )
    work = options.work.resolve() / group_of(options)
    device = str(choose_device(options.device))
    subjects = [s for s in find_subjects(options) if s.attack in PATCHES]
    if not subjects:
        raise SystemExit("None of these models has a trigger that is a patch.")
    recoveries = [
        Recovery(
            subject=subject,
            on=on,
            samples=count,
            seed=seed,
            work=work,
            device=device,
        )
        for subject in subjects
        for count in options.samples
        for seed in options.seeds
        for on in get_args(On)
    ]
    results: list[Recovered] = []
    for result in run_all(recoveries, jobs=options.jobs):
        results.append(result)
        print(_line(result), flush=True)
    data = results_file(options, "triggers")
    page = render(f"Recovered triggers, on the models of {group_of(options)}", results)
    publish(data, results, page)
    seed, count = options.seeds[0], max(options.samples)
    drawn = [r for r in recoveries if (r.seed, r.samples) == (seed, count)]
    draw_masks(drawn, data.with_suffix(".png"))


def _line(result: Recovered) -> str:
    told = ", ".join(f"{name} {_mean([result], of)}" for name, of in FIGURES.items())
    return (
        f"{result.subject} on {result.on} seed {result.seed}, {result.samples} "
        f"samples: {told}, {result.outcome}, {result.cpu_seconds:.0f} s of CPU"
    )


FIGURES: dict[str, Figure] = {
    "IoU": lambda result: result.overlap,
    "IoU, shifted": lambda result: result.shifted,
    "mask norm": lambda result: result.norm,
    "index": lambda result: result.index,
    "estimated ASR": lambda result: result.estimated,
}
_HOW_TO_READ = (
    f"*IoU*: intersection over union of the recovered mask, from {SHOWN} on, and the "
    f"pixels that the attack changes by more than 1/255 in any of {STAMPED} images; "
    f"*shifted*: at the best of all places up to {REACH} pixels away, since a trigger "
    "that was learnt from cropped images works there, too. A search for the smallest "
    "mask leaves out all pixels that are not needed, so that an IoU can be small where "
    "the place is right. *Mask norm*: the sum of the recovered mask, beside the number "
    "of true pixels. *Index*: how far it lies below the other classes'. *Estimated "
    "ASR*: the share of clean images that the recovered trigger turns on the model as "
    "it is. Cells are *original / unlearned*: the trigger searched for on the model, "
    "and on a copy that has unlearned half of its clean skill, not all of it as in the "
    "paper. They are means over seeds; a recovery that failed is in none."
)


def render(title: str, results: Sequence[Recovered]) -> str:
    """Return the page: the answer, the means, each model, and what failed."""
    failed = [f"- {_line(r)}" for r in results if r.outcome != "done"]
    parts = [f"# {title}", _HOW_TO_READ]
    for count in sorted({r.samples for r in results}, reverse=True):
        of_count = [r for r in results if r.samples == count]
        seeds = ", ".join(str(seed) for seed in sorted({r.seed for r in of_count}))
        parts += [f"## {count} clean samples, seeds {seeds}", answer(of_count)]
        parts += [_summary(of_count), _by_model(of_count)]
    parts += ["## Failed", "\n".join(failed)] if failed else []
    return "\n\n".join(parts) + "\n"


def answer(results: Sequence[Recovered]) -> str:
    """Say whether triggers are recovered better from the unlearned model."""
    said = "; ".join(
        f"of {name} {_comparison(results, FIGURES[name])}"
        for name in ("IoU", "IoU, shifted", "estimated ASR")
    )
    return f"The paper claims that unlearning helps to recover triggers. Here {said}."


def _comparison(results: Sequence[Recovered], figure: Figure) -> str:
    pairs = list(_pairs(results, figure))
    if not pairs:
        return "**nothing can be said**"
    before, after = (mean(pair[place] for pair in pairs) for place in (0, 1))
    more = sum(pair[1] > pair[0] for pair in pairs)
    less = sum(pair[1] < pair[0] for pair in pairs)
    verdict = "is undecided"
    if after > before and more > less:
        verdict = "holds"
    elif after < before and less > more:
        verdict = "does not hold"
    return (
        f"it **{verdict}** (mean {before:.3f} from the original model, {after:.3f} "
        f"from the unlearned one, which has more in {more} and less in {less} of "
        f"{len(pairs)} pairs)"
    )


def _pairs(
    results: Sequence[Recovered], figure: Figure
) -> Iterator[tuple[float, float]]:
    """Yield the figure from the original and from the unlearned model."""
    known = {(r.subject, r.seed, r.on): figure(r) for r in results}
    for subject, seed in dict.fromkeys((r.subject, r.seed) for r in results):
        before = known.get((subject, seed, "original"))
        after = known.get((subject, seed, "unlearned"))
        if before is not None and after is not None:
            yield before, after


def _summary(results: Sequence[Recovered]) -> str:
    lines = ["| | original | unlearned |", "|---|---|---|"]
    groups = [
        [r for r in results if r.on == on and r.outcome == "done"]
        for on in get_args(On)
    ]
    for title, figure in (
        ("triggers found", _found),
        ("IoU, mean", lambda of: _mean(of, FIGURES["IoU"])),
        ("IoU, shifted, mean", lambda of: _mean(of, FIGURES["IoU, shifted"])),
        ("index, mean", lambda of: _mean(of, FIGURES["index"])),
        (f"estimated ASR within {CLOSE:.2f} of the true one", _close),
        ("seconds of CPU, mean", lambda of: _mean(of, lambda r: r.cpu_seconds, "0")),
    ):
        lines.append(f"| {title} | " + " | ".join(map(figure, groups)) + " |")
    return "\n".join(lines)


def _found(results: Sequence[Recovered]) -> str:
    return f"{sum(r.found for r in results)} of {len(results)}"


def _close(results: Sequence[Recovered]) -> str:
    known = [r for r in results if r.estimated is not None]
    close = sum(abs(float(r.estimated or 0) - r.true_success) <= CLOSE for r in known)
    return f"{close} of {len(known)}"


def _by_model(results: Sequence[Recovered]) -> str:
    names = ["model", "attack", "class", "true pixels", *FIGURES, "true ASR"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for name in dict.fromkeys(r.subject for r in results):
        of_model = [r for r in results if r.subject == name]
        first = of_model[0]
        sides = [[r for r in of_model if r.on == on] for on in get_args(On)]
        cells = [
            name,
            first.attack,
            "any other" if first.target is None else first.target,
            first.true_pixels,
            *(" / ".join(_mean(s, of) for s in sides) for of in FIGURES.values()),
            f"{first.true_success:.3f}",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _mean(results: Sequence[Recovered], figure: Figure, digits: str = "3") -> str:
    known = [value for r in results if (value := figure(r)) is not None]
    return f"{mean(known):.{digits}f}" if known else "–"


if __name__ == "__main__":
    main()
