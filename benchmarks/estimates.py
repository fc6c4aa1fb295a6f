"""Hold what the tool reports against the truth, over the runs of ``defense.py``.

    python benchmarks/estimates.py --images IMAGES --seeds 0 1 2
    python benchmarks/estimates.py --checkpoints DATA --seeds 0 1 2

``rnp sanitize`` says whether there was a backdoor, to which class, and which share of
images the recovered triggers turn before and after. This reads what the runs that are
kept in the work folder said, runs nothing, and writes how often it was right: the
verdict (AUROC of its p-value, models flagged, class), the estimates of the attack
success rate, and runs that ended in exit code 0 with the attack still at work. What was
read of a report that is gone stands as long as the result of its run does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from defense import find_runs, find_subjects, group_of, read_options, results_file
from harness.estimates import Estimate, estimate_of, still_holds
from harness.result import publish
from harness.sorting import auroc

CLOSE = 0.15  # of the true ASR
AT_WORK = 0.20  # ASR of an attack that was not removed
PATCHES = {  # attacks whose trigger covers a part of the image
    *("BadNets", "Trojan", "LabelConsistent", "Awp", "AllToAll", "SourceSpecific"),
    *("badnets", "4to7", "all2all"),  # as other people's checkpoints name theirs
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, compare and write."""
    options = read_options(arguments, description=__doc__, methods=())
    runs = find_runs(options, find_subjects(options), ["rnp"])
    data = results_file(options, "estimates")
    known = {_name(e.subject, e.samples, e.seed): e for e in _read(data)}
    estimates = []
    for run in runs:
        earlier = known.get(_name(run.subject.name, run.samples, run.seed))
        found = estimate_of(run) or (earlier if still_holds(earlier, run) else None)
        estimates += [found] if found else []
    if not estimates:
        raise SystemExit("No run is kept; benchmarks/defense.py makes them.")
    page = render(f"Reports on the models of {group_of(options)}", estimates)
    publish(data, estimates, page)


def _read(data: Path) -> list[Estimate]:
    rows = json.loads(data.read_text()) if data.exists() else []
    return [Estimate.model_validate(row) for row in rows]


def _name(subject: str, samples: int, seed: int) -> tuple[str, int, int]:
    return subject, samples, seed


def render(title: str, estimates: Sequence[Estimate]) -> str:
    """Return the page: how often reports are right, then each of them."""
    rows = [
        "| model | samples | seed | verdict | class | true | p | outcome | true ASR "
        "| estimated |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *map(_row, estimates),
    ]
    summary = [
        "| | |",
        "|---|---|",
        *(f"| {t} | {f} |" for t, f in _summary(estimates)),
    ]
    return "\n".join([f"# {title}", "", *summary, "", *rows]) + "\n"


def _summary(estimates: Sequence[Estimate]) -> list[tuple[str, str]]:
    attacked = [e for e in estimates if e.attack is not None]
    clean = [e for e in estimates if e.attack is None]
    single = [e for e in attacked if e.true_target is not None]
    tried = [e for e in attacked if e.estimated is not None]
    written = [e for e in tried if e.exit_code == 0]
    patches = [e for e in tried if e.attack in PATCHES]
    written_patches = [e for e in patches if e.exit_code == 0]
    open_ends = [e for e in attacked if e.exit_code == 0 and _rate(e, 1) > AT_WORK]
    return [
        ("AUROC of the verdict, backdoored against clean", _auroc(attacked, clean)),
        ("backdoored models flagged", _share(attacked, lambda e: e.is_flagged)),
        ("clean models flagged", _share(clean, lambda e: e.is_flagged)),
        (
            "right class, of single targets",
            _share(single, lambda e: e.is_flagged and e.target == e.true_target),
        ),
        (
            f"estimate within {CLOSE:.2f} of the true ASR, before",
            _share(tried, lambda e: _is_close(e, 0)),
        ),
        (
            "the same after, where a model was written",
            _share(written, lambda e: _is_close(e, 1)),
        ),
        ("before, of patches", _share(patches, lambda e: _is_close(e, 0))),
        ("after, of patches", _share(written_patches, lambda e: _is_close(e, 1))),
        (
            f"exit code 0 with an ASR above {AT_WORK:.2f}",
            f"{len(open_ends)} of {len(attacked)}"
            + "".join(f", {e.subject} seed {e.seed}" for e in open_ends),
        ),
    ]


def _auroc(attacked: Sequence[Estimate], clean: Sequence[Estimate]) -> str:
    bad, good = (
        torch.tensor([-e.p_value for e in some], dtype=torch.double)
        for some in (attacked, clean)
    )
    area = auroc(good, bad) if len(good) else None
    return "–" if area is None else f"{area:.3f}"


def _share(estimates: Sequence[Estimate], holds: Callable[[Estimate], bool]) -> str:
    return f"{sum(map(holds, estimates))} of {len(estimates)}"


def _rate(estimate: Estimate, when: int) -> float:
    shares = (estimate.before, estimate.after)[when]
    return shares.attack_success_rate or 0.0


def _is_close(estimate: Estimate, when: int) -> bool:
    assert estimate.estimated is not None
    return abs(estimate.estimated[when] - _rate(estimate, when)) <= CLOSE


def _row(estimate: Estimate) -> str:
    verdict = estimate.level
    if estimate.kind is not None:
        verdict += f", {estimate.kind}"
    true = estimate.true_target if estimate.true_target is not None else estimate.attack
    rates = "–"
    if estimate.attack is not None:
        rates = f"{_rate(estimate, 0):.3f} -> {_rate(estimate, 1):.3f}"
    said = "–"
    if estimate.estimated is not None:
        said = " -> ".join(f"{share:.3f}" for share in estimate.estimated)
    cells = [
        estimate.subject,
        estimate.samples,
        estimate.seed,
        verdict,
        "–" if estimate.target is None else estimate.target,
        "–" if true is None else true,
        f"{estimate.p_value:.2g}",
        estimate.outcome,
        rates,
        said,
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
