"""JSON that is always the same for the same content."""

from __future__ import annotations

import hashlib
import json


def canonical_sha256(content: object) -> str:
    """Digest JSON content, whatever the order and the spaces that it is written in."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def canonical_bytes(content: object) -> bytes:
    """Write JSON content as these files have it: indented ASCII, in its own order."""
    return json.dumps(content, indent=2).encode() + b"\n"
