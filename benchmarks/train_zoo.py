"""Train the zoo's models, or measure those that are there.

    python benchmarks/train_zoo.py --images IMAGES
    python benchmarks/train_zoo.py --images IMAGES --measure

IMAGES holds CIFAR-10 as image files: ``train/<class>/*`` and ``test/<class>/*``, as
folders or in ``cifar10-train.zip`` and ``cifar10-test.zip``. The profile ``digits``
needs none.

A model that is there with the same knobs is not trained again, so an interrupted run
goes on where it stopped. ``--measure`` measures CA and ASR anew from the kept weights
and writes the table ``benchmarks/results/zoo-<profile>.md``.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from zoo.entries import PROFILES, Entry
from zoo.images import Dataset, read_cifar10, read_digits
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


def make(
    profile: str, entry: Entry, images: Path | None, device: str, threads: int
) -> dict[str, Any]:
    """Train, keep and measure one entry."""
    torch.set_num_threads(threads)
    folder = models_folder(profile)
    data = read_data(profile, images)
    twin = None
    if entry.attack.needs_twin:
        clean = next(e for e in PROFILES[profile] if e.name == entry.twin)
        twin = load_model(folder, clean)
    start = time.perf_counter()
    model = train(
        entry.network,
        data,
        entry.attack,
        entry.recipe,
        seed=entry.seed,
        device=device,
        twin=twin,
        say=lambda line: print(f"  {entry.name}: {line}", flush=True),
    )
    trained = time.perf_counter() - start
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()  # as it will be kept
    attack = None if entry.is_clean else entry.attack
    found = measure(model, attack, data.test)
    command = f"python benchmarks/train_zoo.py --profile {profile} --only {entry.name}"
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
            counts = (found.attack_success_rate or 0) >= attack.rate_floor
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
    parser.add_argument("--measure", action="store_true", help="train nothing")
    options = parser.parse_args()
    entries = [e for e in PROFILES[options.profile] if options.only in e.name]
    if options.measure:
        measure_all(options.profile, entries, options.images)
        return
    folder = models_folder(options.profile)
    threads = max(1, torch.get_num_threads() // options.jobs)
    read_data(options.profile, options.images)  # decoded once, before the jobs
    missing = [e for e in entries if not kept(folder, e)]
    first = [e for e in missing if e.is_twin]
    first += [e for e in missing if not e.is_clean and not e.attack.needs_twin]
    then = [e for e in missing if not e.is_clean and e.attack.needs_twin]
    then += [e for e in missing if e.is_clean and not e.is_twin]
    for wave in (first, then):
        with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
            waiting = [
                pool.submit(
                    make, options.profile, e, options.images, options.device, threads
                )
                for e in wave
            ]
            for job in waiting:
                job.result()


if __name__ == "__main__":
    main()
