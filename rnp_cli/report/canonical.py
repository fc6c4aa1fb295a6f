"""The digest of JSON content, whatever way it is written in."""

from __future__ import annotations

import hashlib
import json


def canonical_sha256(content: object) -> str:
    """Digest JSON content, whatever the order and the spaces that it is written in."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
