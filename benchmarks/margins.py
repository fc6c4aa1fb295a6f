"""How far inputs lead each class: what the tool makes of it, and what MM-BD makes.

    python benchmarks/margins.py --images IMAGES --samples 500 100
    python benchmarks/margins.py --checkpoints DATA

Takes the same models and options as ``benchmarks/defense.py``, but no ``--methods``; it
keeps nothing, and computes on the CPU, one model after another. Of each it searches
maximum margins as the tool does, and says which class stands out, how little that
happens by chance, and how much the classes differ: as the tool measures margins, in the
spread of each class's logit over clean samples, and as they are. The tool's defaults
for what is usual come from the clean ones of these models.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from baselines.mm_bd import FLAGGED, mm_bd
from defense import find_subjects, group_of, read_options, results_file
from harness.result import publish
from harness.truth import single_target
from pydantic import BaseModel, ConfigDict
from subjects import Subject

from rnp_cli.defense.score import logits_of
from rnp_cli.evidence.chance import UsualConfig, weigh_margins
from rnp_cli.evidence.margin import MarginConfig, maximum_margins


class Row(BaseModel):
    """One model. spreads: standard deviations of logarithms, over classes with one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    attack: str | None
    true_target: int | None
    samples: int
    seed: int
    margins: tuple[float, ...]
    target: int
    index: float
    p_value: float
    spread: float
    raw_target: int
    raw_p_value: float
    raw_spread: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, and write the tables and their data."""
    options = read_options(arguments, description=__doc__, methods=())
    rows = []
    for subject in find_subjects(options):
        for count in options.samples:
            for seed in options.seeds:
                row = measured(subject, count, seed)
                rows += [row] if row else []
                print(_row(row) if row else f"{subject.name}: too few classes")
    publish(results_file(options, "margins"), rows, render(group_of(options), rows))


def measured(subject: Subject, count: int, seed: int) -> Row | None:
    """Search the margins of one model; None where too few classes can be reached."""
    network = subject.network()
    samples = subject.clean_samples(count, seed)
    logits = logits_of(network, samples.images)
    found = maximum_margins(
        network, samples, MarginConfig(), range(logits.shape[1]), seed=seed
    )
    sizes = weigh_margins(found, UsualConfig(), seed=seed)
    if not sizes.targets:
        return None
    raw = [m * float(s) for m, s in zip(found.values, logits.std(0), strict=True)]
    lowest = int(sizes.indices.argmax())
    target = sizes.targets[lowest]
    index, p_value = sizes.of(target)
    told = mm_bd(raw)
    of_raw = torch.tensor([value for value in raw if value > 0]).log()
    return Row(
        subject=subject.name,
        attack=subject.attack,
        true_target=single_target(subject),
        samples=count,
        seed=seed,
        margins=tuple(round(value, 3) for value in found.values),
        target=target,
        index=round(index, 3),
        p_value=p_value,
        spread=round(float(sizes.logarithms.std()), 4),
        raw_target=told.target,
        raw_p_value=told.p_value,
        raw_spread=round(float(of_raw.std()), 4),
    )


def render(group: str, rows: Sequence[Row]) -> str:
    """Return the page: what both make of the margins, then each model."""
    lines = [f"# Maximum margins of the models of {group}", ""]
    for count in sorted({row.samples for row in rows}, reverse=True):
        some = [row for row in rows if row.samples == count]
        lines += [
            f"## {count} clean samples",
            "",
            "| | in the spread of each logit | as they are (MM-BD) |",
            "|---|---|---|",
            *(f"| {title} | {ours} | {raw} |" for title, ours, raw in _summary(some)),
            "",
        ]
    lines += [
        "| model | samples | seed | true | class | index | p | spread | MM-BD: class "
        "| p | spread |",
        "|---" * 11 + "|",
        *map(_row, rows),
    ]
    return "\n".join(lines) + "\n"


def _summary(rows: Sequence[Row]) -> list[tuple[str, int | str, int | str]]:
    single = [row for row in rows if row.true_target is not None]
    clean = [row for row in rows if row.attack is None]
    return [
        (
            f"right class, p at most {FLAGGED:g}, of {len(single)} single targets",
            sum(_is_right(row.target, row.p_value, row) for row in single),
            sum(_is_right(row.raw_target, row.raw_p_value, row) for row in single),
        ),
        (
            f"clean models flagged, of {len(clean)}",
            sum(row.p_value <= FLAGGED for row in clean),
            sum(row.raw_p_value <= FLAGGED for row in clean),
        ),
        (
            "how much classes differ in clean models: standard deviation of "
            "logarithms, root mean square and range",
            _usual([row.spread for row in clean]),
            _usual([row.raw_spread for row in clean]),
        ),
    ]


def _is_right(target: int, p_value: float, row: Row) -> bool:
    return p_value <= FLAGGED and target == row.true_target


def _usual(spreads: Sequence[float]) -> str:
    if not spreads:
        return "–"
    each = torch.tensor(spreads)
    return (
        f"{float(each.square().mean().sqrt()):.2f} "
        f"({float(each.min()):.2f} to {float(each.max()):.2f})"
    )


def _row(row: Row) -> str:
    true = row.attack if row.true_target is None else row.true_target
    cells = [
        row.subject,
        row.samples,
        row.seed,
        "–" if true is None else true,
        row.target,
        f"{row.index:.2f}",
        f"{row.p_value:.2g}",
        f"{row.spread:.2f}",
        row.raw_target,
        f"{row.raw_p_value:.2g}",
        f"{row.raw_spread:.2f}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
