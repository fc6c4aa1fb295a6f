"""CA and ASR along the tool's pruning path: the ranked channels cut one by one."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from harness.result import Shares, write
from harness.run import Run
from rnp_cli import Report
from rnp_cli.defense.channels import Channel, find_channel_layers
from rnp_cli.defense.prune import prune
from rnp_cli.report.sanitization import PruningInfo

INSIDE = "network."  # where a subject keeps the checkpoint's network
POINTS = 25


class Point(BaseModel):
    """CA and ASR with so many channels pruned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pruned: int
    shares: Shares


class PruningPath(BaseModel):
    """The way down the ranking. chosen: where the tool stopped, 0 if nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    key: str
    chosen: int
    points: tuple[Point, ...]


def measured_path(run: Run) -> PruningPath | None:
    """Measure the path that a run's report ranks, or read it where it is kept.

    None where the run is not kept, had no report, or ranked nothing. The report names
    twenty channels beyond those that were pruned, and so far does the path go.
    """
    report_file = run.work / f"{run.stem}.report.json"
    if run.kept() is None or not report_file.exists():
        return None
    report = Report.model_validate_json(report_file.read_text())
    if report.pruning is None:
        return None
    file = run.work / f"{run.stem}.path.json"
    if file.exists():
        path = PruningPath.model_validate_json(file.read_text())
        if path.key == run.key():
            return path
    path = _measure(run, report.pruning)
    write(file, path)
    return path


def _measure(run: Run, report: PruningInfo) -> PruningPath:
    ranked = [
        Channel(f"{INSIDE}{r.layer}", r.channel)
        for r in (*report.pruned, *report.next_in_rank)
    ]
    model = run.subject.network()
    layers = find_channel_layers(model, run.subject.test_images().images[:2])
    stops = {round(i * len(ranked) / POINTS) for i in range(POINTS + 1)}
    points = []
    for count in sorted(stops | {len(report.pruned)}):
        pruned = prune(model, layers, ranked[:count])
        points.append(Point(pruned=count, shares=run.measure(pruned)))
    return PruningPath(
        subject=run.subject.name,
        key=run.key(),
        chosen=len(report.pruned),
        points=tuple(points),
    )
