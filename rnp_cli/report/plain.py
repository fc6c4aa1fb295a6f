"""Text from files, made harmless for a terminal."""

from __future__ import annotations


def plain(text: str) -> str:
    """Escape what would act on a terminal instead of being shown.

    The result may still hold markup of the renderer, who must not read it as such.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
