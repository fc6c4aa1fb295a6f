"""Reads the one panel that a refusal is shown in."""

from __future__ import annotations

import re
from typing import NamedTuple


class Panel(NamedTuple):
    """A panel's parts."""

    title: str
    happened: str
    next_step: str


def read_panel(shown: str) -> Panel:
    """Return the only panel: what happened, an empty line, what to do next.

    Raises ValueError where there is another number of panels, a part is missing, or
    anything that was shown could steer a terminal.
    """
    if shown.count("╭") != 1 or shown.count("╰") != 1 or "Traceback" in shown:
        raise ValueError("not one panel")
    if not all(c.isprintable() or c == "\n" for c in shown):
        raise ValueError("unprintable characters")
    head, *body = shown[shown.index("╭") : shown.index("╰")].splitlines()
    lines = [line.strip("│ ") for line in body]
    gap = lines.index("")
    happened, next_step = "".join(lines[:gap]), "".join(lines[gap:])
    title = re.search("─ (.+?) ─", head)
    if title is None or not happened or not next_step:
        raise ValueError("a panel without title, reason or next step")
    return Panel(title[1], happened, next_step)
