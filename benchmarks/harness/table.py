"""Tables of results: by attack, by model, and what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import mean, median

from harness.result import Result, Shares, shown

CLEANSED_RATE = 0.10
CLEANSED_COST = 0.03

Cell = Callable[[list[Result]], str]


def render(title: str, results: Sequence[Result]) -> str:
    """Return the whole page."""
    parts = [f"# {title}", *_HOW_TO_READ]
    for samples in sorted({r.samples for r in results}, reverse=True):
        chosen = [r for r in results if r.samples == samples]
        parts += [f"## {samples} clean samples, seeds {_seeds(chosen)}"]
        parts += _with_fewer_seeds(chosen)
        parts += ["### By attack", by_attack(chosen)]
        parts += ["### By model", by_model(chosen)]
        parts += ["### Runs that left the model unchanged", failures(chosen)]
    return "\n\n".join(parts) + "\n"


def _seeds(results: Sequence[Result]) -> str:
    return ", ".join(str(seed) for seed in sorted({r.seed for r in results}))


def _with_fewer_seeds(results: Sequence[Result]) -> list[str]:
    """Say which methods were not run with every seed."""
    every = _seeds(results)
    methods = dict.fromkeys(r.method for r in results)
    seeds = {m: _seeds([r for r in results if r.method == m]) for m in methods}
    fewer = [f"{m}: seeds {s} only." for m, s in seeds.items() if s != every]
    return [" ".join(fewer)] if fewer else []


_HOW_TO_READ = (
    "Cells are CA / ASR on test images, the mean over models and seeds. A run that "
    "gives no model (refused, no safe threshold, NaN, ...) leaves the old one in use, "
    "and counts with the old one's CA and ASR.",
    f"*Cleansed*: runs with ASR at most {CLEANSED_RATE:.2f} that cost at most "
    f"{CLEANSED_COST:.2f} of CA. *Unchanged*: runs that gave no model. Worst values "
    "and seconds are of single runs.",
)


def by_attack(results: Sequence[Result]) -> str:
    """One row per family of attacks, then all of them together, and the worst."""
    attacked = [r for r in results if r.attack is not None]
    clean = [r for r in results if r.attack is None]
    rows = []
    for attack in _in_order(r.attack for r in attacked):
        of_attack = [r for r in attacked if r.attack == attack]
        models = len({r.subject for r in of_attack})
        rows.append(_row(f"{attack} ({models})", results, of_attack, _mean))
    if attacked:
        rows.append(_row("**all attacks**", results, attacked, _mean))
        rows.append(_row("worst ASR", results, attacked, _worst_rate))
        rows.append(_row("worst loss of CA", results, attacked, _worst_cost))
        rows.append(_row("cleansed", results, attacked, _cleansed))
    if clean:
        models = len({r.subject for r in clean})
        rows.append(_row(f"clean models ({models})", results, clean, _mean))
        rows.append(_row("worst loss of CA, clean", results, clean, _worst_cost))
    rows.append(_row("unchanged", results, results, _unchanged))
    rows.append(_row("seconds, median", results, results, _seconds))
    rows.append(_row("seconds of CPU, median", results, results, _cpu_seconds))
    return _table("attack (models)", results, rows)


def by_model(results: Sequence[Result]) -> str:
    """One row per model; the mean over the seeds."""
    rows = [
        _row(name, results, [r for r in results if r.subject == name], _mean)
        for name in _in_order(r.subject for r in results)
    ]
    return _table("model", results, rows)


def failures(results: Sequence[Result]) -> str:
    """List what gave no model, and why."""
    seeds: dict[tuple[str, str, str], list[str]] = {}
    for r in results:
        if not r.changed:
            what = (r.method, r.subject, r.outcome)
            seeds.setdefault(what, []).append(str(r.seed))
    if not seeds:
        return "None."
    lines = ["| method | model | seeds | outcome |", "|---|---|---|---|"]
    for (method, subject, outcome), found in sorted(seeds.items()):
        words = outcome.replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {method} | {subject} | {', '.join(found)} | {words} |")
    return "\n".join(lines)


def _table(first: str, results: Sequence[Result], rows: Iterable[str]) -> str:
    names = [first, "before", *_in_order(r.method for r in results)]
    rule = "|---" * len(names) + "|"
    return "\n".join(["| " + " | ".join(names) + " |", rule, *rows])


def _row(
    name: str, results: Sequence[Result], chosen: Sequence[Result], cell: Cell
) -> str:
    cells = [name, "–"]
    if cell is _mean:
        cells[1] = _average([r.before for r in chosen])
    for method in _in_order(r.method for r in results):
        cells.append(cell([r for r in chosen if r.method == method]))
    return "| " + " | ".join(cells) + " |"


def _average(shares: Iterable[Shares | None]) -> str:
    known = [s for s in shares if s is not None]
    if not known:
        return "–"
    rates = [s.attack_success_rate for s in known if s.attack_success_rate is not None]
    return shown(
        Shares(
            clean_accuracy=mean(s.clean_accuracy for s in known),
            attack_success_rate=mean(rates) if rates else None,
        )
    )


def _mean(results: list[Result]) -> str:
    unchanged = sum(not r.changed for r in results)
    note = f" ({unchanged} of {len(results)} unchanged)" if unchanged else ""
    return _average(r.after for r in results) + note


def _worst_rate(results: list[Result]) -> str:
    rates = [r.after.attack_success_rate for r in results if r.after]
    return f"{max((rate or 0 for rate in rates), default=0):.3f}" if rates else "–"


def cost(result: Result) -> float:
    """Return the clean accuracy lost."""
    if result.before is None or result.after is None:
        return 0.0
    return result.before.clean_accuracy - result.after.clean_accuracy


def _worst_cost(results: list[Result]) -> str:
    return f"{max(map(cost, results)):.3f}" if results else "–"


def _cleansed(results: list[Result]) -> str:
    rates = [(r.after.attack_success_rate, cost(r)) for r in results if r.after]
    good = [
        rate is not None and rate <= CLEANSED_RATE and lost <= CLEANSED_COST + 1e-9
        for rate, lost in rates
    ]
    return f"{sum(good)} of {len(results)}"


def _unchanged(results: list[Result]) -> str:
    return f"{sum(not r.changed for r in results)} of {len(results)}"


def _seconds(results: list[Result]) -> str:
    return f"{median(r.seconds for r in results):.0f}" if results else "–"


def _cpu_seconds(results: list[Result]) -> str:
    return f"{median(r.cpu_seconds for r in results):.0f}" if results else "–"


def _in_order(names: Iterable[str | None]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name is not None]
