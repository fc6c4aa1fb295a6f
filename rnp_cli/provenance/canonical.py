"""JSON that is always the same for the same content."""

from __future__ import annotations

import json


def canonical_bytes(content: object) -> bytes:
    """Write JSON content as these files have it: indented ASCII, in its own order."""
    return json.dumps(content, indent=2).encode() + b"\n"
