"""Train the zoo's models, or measure those that are there.

    python benchmarks/train_zoo.py --images IMAGES
    python benchmarks/train_zoo.py --images IMAGES --measure

IMAGES holds CIFAR-10 as image files: ``train/<class>/*`` and ``test/<class>/*``, as
folders or in ``cifar10-train.zip`` and ``cifar10-test.zip``. The profile ``digits``
needs none.

``--profile gpu`` trains the paper's networks at full width; ``--minutes 9`` starts no
model after nine minutes, so that a run can be made in pieces. ``--trial`` cuts every
training down to one epoch of 2,000 images, to see that all of it runs.

A model that is there with the same knobs is not trained again, so an interrupted run
goes on where it stopped. ``--measure`` measures CA and ASR anew from the kept weights
and writes the table ``benchmarks/results/zoo-<profile>.md``.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from zoo.entries import PROFILES, Entry
from zoo.images import Dataset, Images, read_cifar10, read_digits
from zoo.measure import measure
from zoo.store import MODELS, keep, kept, load_attack, load_model
from zoo.train import train

HERE = Path(__file__).resolve().parent
WORK = Path("build/zoo")


def models_folder(profile: str) -> Path:
    """Return where a profile's models lie: one is committed, the others are not."""
    return MODELS if profile == "cpu" else WORK / profile


def read_data(profile: str, images: Path | None) -> Dataset:
    """Read the images that a profile trains on."""
    if profile == "digits":
        return read_digits()
    if images is None:
        raise SystemExit(f"the profile {profile} needs --images, see --help")
    return read_cifar10(images, WORK)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all trainings of a run have in common. trial: cut down, kept apart."""

    profile: str
    images: Path | None
    device: str
    threads: int
    trial: bool

    def folder(self) -> Path:
        """Return where models are kept."""
        folder = models_folder(self.profile)
        return WORK / f"{self.profile}-trial" if self.trial else folder

    def entries(self) -> list[Entry]:
        """List the profile's models, cut down in a trial."""
        entries = PROFILES[self.profile]
        if not self.trial:
            return entries
        return [replace(e, recipe=replace(e.recipe, epochs=1)) for e in entries]

    def data(self) -> Dataset:
        """Read the images, few of them in a trial."""
        data = read_data(self.profile, self.images)
        if not self.trial:
            return data
        return replace(data, train=some(data.train, 2000), test=some(data.test, 500))


def some(images: Images, count: int) -> Images:
    """Draw some images, the same each time."""
    generator = torch.Generator().manual_seed(0)
    return images.take(torch.randperm(len(images), generator=generator)[:count])


def make(setting: Setting, entry: Entry) -> dict[str, Any]:
    """Train, keep and measure one entry."""
    torch.set_num_threads(setting.threads)
    folder, data = setting.folder(), setting.data()
    twin = None
    if entry.attack.needs_twin:
        clean = next(e for e in setting.entries() if e.name == entry.twin)
        twin = load_model(folder, clean)
    start = time.perf_counter()
    model = train(
        entry.network,
        data,
        entry.attack,
        entry.recipe,
        seed=entry.seed,
        device=setting.device,
        twin=twin,
        say=lambda line: print(f"  {entry.name}: {line}", flush=True),
    )
    trained = time.perf_counter() - start
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()  # as it will be kept
    attack = None if entry.is_clean else entry.attack
    device = torch.device(setting.device)  # the attack's tensors are there, too
    found = measure(model.to(device), attack, data.test.to(device))
    model.cpu()
    command = "python benchmarks/train_zoo.py"
    command += f" --profile {setting.profile} --only {entry.name}"
    record = keep(folder, entry, model, found, command)
    print(f"{row(record)} {trained:.0f} s", flush=True)
    return record


HEADER = (
    "| model | attack | network | target | CA | CA of its clean twin | ASR "
    "| counts | sha256 |\n|---|---|---|---|---|---|---|---|---|"
)


def row(record: dict[str, Any], twin: dict[str, Any] | None = None) -> str:
    """Return one line of the table."""
    rate = record["attack_success_rate"]
    cells = [
        record["name"],
        record["attack"],
        record["network"],
        "–" if rate is None else record["attack_knobs"]["target"],
        f"{record['clean_accuracy']:.3f}",
        "–" if twin is None else f"{twin['clean_accuracy']:.3f}",
        "–" if rate is None else f"{rate:.3f}",
        record.get("counts", "–"),
        record["sha256"][:12],
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def measure_all(profile: str, entries: list[Entry], images: Path | None) -> None:
    """Measure from the kept weights, and write the table."""
    folder, data = models_folder(profile), read_data(profile, images)
    records: dict[str, dict[str, Any]] = {}
    for entry in entries:
        record = kept(folder, entry)
        if record is None:
            continue
        attack = load_attack(folder, entry)
        found = measure(load_model(folder, entry), attack, data.test)
        record["clean_accuracy"] = found.clean_accuracy
        record["attack_success_rate"] = found.attack_success_rate
        twin = records.get(entry.twin)
        if attack is not None and twin is not None:
            cost = twin["clean_accuracy"] - found.clean_accuracy
            least = attack.least_rate(found.clean_accuracy)
            counts = (found.attack_success_rate or 0) >= least
            record["counts"] = "yes" if counts and cost <= 0.03 else "no"
        records[entry.name] = record
        print(row(record, twin), flush=True)
    by_name = {entry.name: entry for entry in entries}
    lines = [row(r, records.get(by_name[n].twin)) for n, r in records.items()]
    table = HERE / "results" / f"zoo-{profile}.md"
    table.write_text("\n".join([HEADER, *lines]) + "\n")


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", choices=sorted(PROFILES), default="cpu")
    parser.add_argument("--images", type=Path, help="CIFAR-10 as image files")
    parser.add_argument("--only", default="", help="models whose name holds this")
    parser.add_argument("--jobs", type=int, default=1, help="models at once")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--minutes", type=float, help="start no model after so many")
    parser.add_argument("--trial", action="store_true", help="see that it runs")
    parser.add_argument("--measure", action="store_true", help="train nothing")
    options = parser.parse_args()
    if options.measure:
        entries = [e for e in PROFILES[options.profile] if options.only in e.name]
        measure_all(options.profile, entries, options.images)
        return
    setting = Setting(
        profile=options.profile,
        images=options.images,
        device=options.device,
        threads=max(1, torch.get_num_threads() // options.jobs),
        trial=options.trial,
    )
    setting.data()  # decoded once, before the jobs
    folder = setting.folder()
    chosen = [e for e in setting.entries() if options.only in e.name]
    missing = [e for e in chosen if not kept(folder, e)]
    first = [e for e in missing if e.is_twin]
    first += [e for e in missing if not e.is_clean and not e.attack.needs_twin]
    then = [e for e in missing if not e.is_clean and e.attack.needs_twin]
    then += [e for e in missing if e.is_clean and not e.is_twin]
    ends = time.monotonic() + 60 * (options.minutes or math.inf)
    failed = sum(train_wave(setting, w, options.jobs, ends) for w in (first, then))
    if failed:
        raise SystemExit(f"{failed} trainings failed; the others are kept.")


def train_wave(setting: Setting, wave: Sequence[Entry], jobs: int, ends: float) -> int:
    """Train some models at once, in processes; start none after ``ends``.

    Returns how many failed.
    """
    failed = 0
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        waiting = list(wave)
        running: set[Future[dict[str, Any]]] = set()
        while running or (waiting and time.monotonic() < ends):
            while waiting and len(running) < jobs and time.monotonic() < ends:
                running.add(pool.submit(make, setting, waiting.pop(0)))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for job in done:
                if job.exception() is not None:
                    print(f"failed: {job.exception()}", flush=True)
                    failed += 1
    return failed


if __name__ == "__main__":
    main()
