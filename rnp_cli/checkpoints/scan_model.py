"""Looks into a model file without loading its tensors; needs no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rnp_cli.checkpoints.limits import DEFAULT_LIMITS, LoadLimits
from rnp_cli.checkpoints.model_files import find_files, joined
from rnp_cli.checkpoints.reader_process import read_in_process
from rnp_cli.checkpoints.refusals import quote
from rnp_cli.checkpoints.scan import Refusal, Scan
from rnp_cli.checkpoints.source import open_regular
from rnp_cli.errors import InputRefused


def scan_file(path: Path, limits: LoadLimits = DEFAULT_LIMITS) -> Scan:
    """Say what an untrusted model file, or Hugging Face folder, is and what it holds.

    A file that would be refused is described as far as it can be, with the reason in
    ``refusal``. Raises UsageError where there is no file.
    """
    name = quote(path.name)
    scans: list[Scan] = []
    try:
        model = find_files(path, limits)
        for part in model.files:
            with open_regular(part, limits, follows_links=model.folder is None) as file:
                scans.append(Scan.blank(size=file.size))
                scans[-1], _ = read_in_process(file, part.suffix, limits)
        scan = joined(model, scans)
    except InputRefused as error:
        refusal = Refusal(message=error.message, hint=error.hint)
        known = scans[0] if len(scans) == 1 else Scan.blank()
        scan = replace(known, refusal=known.refusal or refusal)
    return replace(scan, file=name)
