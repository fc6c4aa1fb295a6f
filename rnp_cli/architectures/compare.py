"""Compare a checkpoint's tensors with a module's, and say in words what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rnp_cli.architectures.shapes import BATCH_COUNT, Shape

_SHOWN = 3
_LONGEST_NAME = 80


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What keeps a checkpoint from fitting a module; all empty where it fits."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[tuple[str, Shape, Shape], ...]  # name, found, wanted

    @property
    def count(self) -> int:
        """How many tensors differ."""
        return len(self.missing) + len(self.unexpected) + len(self.reshaped)

    def __str__(self) -> str:
        parts = []
        if self.missing:
            parts.append(f"{len(self.missing)} missing ({_some(self.missing)})")
        if self.unexpected:
            names = _some(self.unexpected)
            parts.append(f"{len(self.unexpected)} unexpected ({names})")
        if self.reshaped:
            shapes = [
                f"{printable(name)} is {_size(found)}, expected {_size(wanted)}"
                for name, found, wanted in self.reshaped[:_SHOWN]
            ]
            more = _more(len(self.reshaped))
            parts.append(
                f"{len(self.reshaped)} of another shape ({'; '.join(shapes)}{more})"
            )
        return "; ".join(parts) or "nothing differs"


def difference(found: Mapping[str, Shape], wanted: Mapping[str, Shape]) -> Difference:
    """Compare names and shapes; ``num_batches_tracked`` may be missing, nothing else.

    Checkpoints from before PyTorch 0.4.1 have no such counter, and it changes nothing.
    """
    return Difference(
        missing=tuple(
            name
            for name in wanted
            if name not in found and name.rpartition(".")[2] != BATCH_COUNT
        ),
        unexpected=tuple(name for name in found if name not in wanted),
        reshaped=tuple(
            (name, shape, wanted[name])
            for name, shape in found.items()
            if name in wanted and wanted[name] != shape
        ),
    )


def printable(name: str) -> str:
    """Return a name from a checkpoint, cut short and with control characters escaped.

    The result is plain text; whoever renders it still escapes markup.
    """
    cut = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    escaped = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
    return escaped if len(escaped) <= _LONGEST_NAME else f"{escaped[:79]}…"


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(map(printable, listed[:_SHOWN])) + _more(len(listed))


def _more(count: int) -> str:
    return f", and {count - _SHOWN} more" if count > _SHOWN else ""


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape[:8])) or "a single number"
