"""The metadata that rnp keeps in a torch.export archive; needs no torch."""

from __future__ import annotations

import json
from pathlib import Path

from rnp_cli.checkpoints.limits import DEFAULT_LIMITS, LoadLimits
from rnp_cli.checkpoints.refusals import malformed, over_limit, unsupported
from rnp_cli.checkpoints.sniff import Kind, sniff
from rnp_cli.checkpoints.source import Source, open_regular
from rnp_cli.checkpoints.torch_export import is_exported
from rnp_cli.checkpoints.zip_directory import read_directory
from rnp_cli.checkpoints.zip_members import member_bytes

_PLACE = "extra/rnp.json"  # below the archive's own folder


def read_exported_metadata(
    path: Path, limits: LoadLimits = DEFAULT_LIMITS
) -> dict[str, str]:
    """Read the metadata of a torch.export archive: none, where rnp did not write it.

    Raises InputRefused where the file is no such archive or its metadata is unsound.
    The texts are as the file has them: escape them before they are shown.
    """
    with open_regular(path, limits) as file:
        if sniff(file) is not Kind.ZIP:
            raise unsupported("It is not a torch.export archive.")
        return exported_metadata(file.load(), limits)


def exported_metadata(source: Source, limits: LoadLimits) -> dict[str, str]:
    """Read it from the archive's bytes, which are loaded; as above."""
    members = read_directory(source, limits)
    if not is_exported(members):
        raise unsupported("It is not a torch.export archive.")
    places = [m for name, m in members.items() if name.partition("/")[2] == _PLACE]
    if not places:
        return {}
    if places[0].size > limits.max_header_bytes:
        raise over_limit(f"Its metadata has {places[0].size:,} bytes.")
    try:
        metadata = json.loads(member_bytes(source, places[0]))
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise malformed("Its metadata is malformed.")
    return metadata
