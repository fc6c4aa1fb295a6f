"""Charts as SVG markup: numbers in, a picture out, its colors left to the page's CSS.

Every text goes through ElementTree, which escapes it; the few that may come from files
are made plain first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from xml.etree.ElementTree import Element, SubElement, tostring

from rnp_cli.report.plain import plain

_WIDTH, _HEIGHT = 480.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 466.0, 22.0, 192.0
_ROW = 66.0  # a layer's height in the map of channels
_MOST_MARKED = 0.85  # of the height, for a bar with its mark and size above it
_MOST_DOTS = 60  # a line of more points is drawn without dots
_LONGEST_NAME = 22
_HALO = {"paint-order": "stroke"}  # an attribute: validators of CSS do not know it


@dataclass(frozen=True)
class Caption:
    """What a chart is called and shows, for those who do not see it; name: its id."""

    name: str
    title: str
    desc: str


@dataclass(frozen=True)
class Line:
    """Shares along a chart; kind: the CSS class."""

    kind: str
    points: tuple[tuple[int, float], ...]  # (across, share in [0, 1])


@dataclass(frozen=True)
class Bar:
    """The size for a class, None where none was found; label: the class's number."""

    label: str
    size: float | None
    is_suspected: bool


@dataclass(frozen=True)
class Tick:
    """A channel in its layer."""

    channel: int
    mask: float
    is_pruned: bool


def shares(
    caption: Caption,
    lines: Sequence[Line],
    *,
    across: str,
    floor: float | None = None,
    chosen: int | None = None,
) -> str:
    """Draw shares against whole numbers, with a floor and a chosen place."""
    svg = _begin(caption, _HEIGHT)
    places = [x for line in lines for x, _ in line.points]
    low, high = min(places, default=0), max(places, default=1)

    def at(x: float) -> float:
        reach = (x - low) / (high - low) if high > low else 0.5
        return _LEFT + 10 + reach * (_RIGHT - _LEFT - 20)

    for percent in (0, 25, 50, 75, 100):
        _grid(svg, _height(percent / 100), f"{percent}%")
    for place in _whole_steps(low, high):
        _text(svg, at(place), _BOTTOM + 20, str(place), "middle")
    _text(svg, (_LEFT + _RIGHT) / 2, _HEIGHT - 8, across, "middle")
    if chosen is not None and low <= chosen <= high:
        _line(svg, "chosen", at(chosen), _TOP - 4, at(chosen), _BOTTOM)
    if floor is not None and math.isfinite(floor):
        _line(svg, "floor", _LEFT, _height(floor), _RIGHT, _height(floor))
    for line in lines:
        seen = [(at(x), _height(y)) for x, y in line.points if math.isfinite(y)]
        if len(seen) > 1:
            joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in seen)
            _add(svg, "polyline", points=joined, kind=f"curve {line.kind}")
        for x, y in seen if len(seen) <= _MOST_DOTS else ():
            _add(svg, "circle", cx=x, cy=y, r=3.5, kind=f"dot {line.kind}")
    return _written(svg)


def bars(caption: Caption, sizes: Sequence[Bar], write: Callable[[float], str]) -> str:
    """Draw a bar for each class; the suspected one has a mark and its size."""
    svg = _begin(caption, _HEIGHT)
    known = [b.size for b in sizes if b.size is not None and math.isfinite(b.size)]
    step = _step(max(known, default=0.0) or 1.0)
    top = step * math.ceil(max(known, default=0.0) / step) or step
    marked = [b.size for b in sizes if b.is_suspected and b.size in known]
    top += step if max(marked, default=0.0) > _MOST_MARKED * top else 0
    for n in range(round(top / step) + 1):
        _grid(svg, _height(n * step / top), write(n * step))
    slot = (_RIGHT - _LEFT) / max(len(sizes), 1)
    width = min(0.7 * slot, 40.0) if slot > 3 else slot
    every = 1 if len(sizes) <= 12 else math.ceil(len(sizes) / 8)
    suspects = [n for n, bar in enumerate(sizes) if bar.is_suspected]
    on_top = sorted(enumerate(sizes), key=lambda place: place[1].is_suspected)
    for n, bar in on_top:
        middle = _LEFT + (n + 0.5) * slot
        kind = "suspect" if bar.is_suspected else "usual"
        height = _BOTTOM
        if bar.size is None or not math.isfinite(bar.size):
            if slot > 8 or bar.is_suspected:
                _text(svg, middle, _BOTTOM - 4, "×", f"middle none {kind}")
                height -= 14
        else:
            height = _height(bar.size / top)
            size = {"y": height, "width": width, "height": _BOTTOM - height}
            _add(svg, "rect", kind=f"bar {kind}", x=middle - width / 2, **size)
            if bar.is_suspected:
                inside = min(max(middle, _LEFT + 24), _RIGHT - 24)
                _text(svg, inside, height - 18, write(bar.size), "middle strong")
        if bar.is_suspected:
            spots = ((-6, -14), (6, -14), (0, -5))
            joined = " ".join(f"{middle + x:.1f},{height + y:.1f}" for x, y in spots)
            _add(svg, "polygon", points=joined, kind="mark").attrib |= _HALO
        is_free = all(bar.is_suspected or abs(n - s) >= every for s in suspects)
        if bar.is_suspected or (n % every == 0 and is_free):
            label = "strong" if bar.is_suspected else ""
            _text(svg, middle, _BOTTOM + 20, bar.label, f"middle {label}")
    _text(svg, (_LEFT + _RIGHT) / 2, _HEIGHT - 8, "class", "middle")
    return _written(svg)


def channel_map(caption: Caption, layers: Iterable[tuple[str, Sequence[Tick]]]) -> str:
    """Draw a row for each layer, from channel 0 to the highest of those given.

    A tick is as long as its channel's mask is low: up if pruned, down if not.
    """
    rows = list(layers)
    svg = _begin(caption, max(_ROW * len(rows), _ROW))
    left, right = 28.0, _WIDTH - 44.0
    for row, (layer, ticks) in enumerate(rows):
        head, base = row * _ROW + 16, row * _ROW + 42
        pruned = sum(tick.is_pruned for tick in ticks)
        _text(svg, 4, head, _shortened(plain(layer)), "strong")
        told = f"{pruned} pruned, {len(ticks) - pruned} next"
        _text(svg, _WIDTH - 4, head, told, "end")
        _line(svg, "grid", left, base, right, base)
        last = max((tick.channel for tick in ticks), default=0)
        for tick in ticks:
            x = left + 1 + tick.channel / max(last, 1) * (right - left - 2)
            length = 3 + 15 * (1 - _share(tick.mask))
            end = base - length if tick.is_pruned else base + length
            kind = "pruned" if tick.is_pruned else "next"
            _line(svg, f"tick {kind}", x, base, x, end)
        _text(svg, left - 8, base + 5, "0", "end small")
        _text(svg, right + 8, base + 5, str(last), "small")
    return _written(svg)


def _begin(caption: Caption, height: float) -> Element:
    ids = f"{caption.name}-title", f"{caption.name}-desc"
    svg = Element("svg", role="img", viewBox=f"0 0 {_WIDTH:.0f} {height:.0f}")
    svg.set("aria-labelledby", " ".join(ids))
    SubElement(svg, "title", id=ids[0]).text = plain(caption.title)
    SubElement(svg, "desc", id=ids[1]).text = plain(caption.desc)
    return svg


def _written(svg: Element) -> str:
    return tostring(svg, encoding="unicode")


def _add(parent: Element, tag: str, *, kind: str, **values: float | str) -> Element:
    """Add a shape; kind: its CSS classes."""
    texts = {k: v if isinstance(v, str) else f"{v:.1f}" for k, v in values.items()}
    return SubElement(parent, tag, {"class": kind.strip(), **texts})


def _text(svg: Element, x: float, y: float, text: str, kind: str) -> None:
    added = _add(svg, "text", x=x, y=y, kind=kind)
    added.text = text
    if "strong" in kind:
        added.attrib |= _HALO


def _line(svg: Element, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
    _add(svg, "line", kind=kind, x1=x1, y1=y1, x2=x2, y2=y2)


def _grid(svg: Element, y: float, label: str) -> None:
    _line(svg, "grid", _LEFT, y, _RIGHT, y)
    _text(svg, _LEFT - 6, y + 4, label, "end")


def _height(share: float) -> float:
    """Return where a share lies between the bottom and the top."""
    return _BOTTOM - _share(share) * (_BOTTOM - _TOP)


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def _step(reach: float) -> float:
    """Return the step of 1, 2 or 5 times a power of ten that fits in 2 to 5 times."""
    steps = (m * 10.0**power for power in count(-12) for m in (1, 2, 5))
    return next(step for step in steps if reach / step <= 5)


def _whole_steps(low: int, high: int) -> range:
    step = max(1, round(_step(float(high - low)))) if high > low else 1
    return range(math.ceil(low / step) * step, high + 1, step)


def _shortened(name: str) -> str:
    """Keep the end, which tells layers apart."""
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
