"""Charts as SVG text: lines, points over a density, histograms, matrices. Colours come from the style sheet.

Every chart has a title, a description, axes with units and a legend, and tells its series apart by shape, dash or
place, not by colour alone. Class ``md`` is molecular dynamics, class ``model`` the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from typing import Literal

import numpy as np

from ebabench.results.panels import Fluctuation, Numbers
from ebabench.structures.arrays import evenly_spaced

WIDTH, HEIGHT = 460, 320
_SQUARE = 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 30, 42
_BINS = 36
_SHADES = 6
_MOST_MARKS = 400
_KEY_LINE = {
    "md": '<path class="line md" d="M0 0H22"/><circle class="mark md" cx="11" cy="0" r="3"/>',
    "model": '<path class="line model" d="M0 0H22"/><path class="mark model" d="M8.5 -2.5h5v5h-5z"/>',
}
_KEY_BAND = '<path class="band {}" d="M0 -5H22V5H0Z"/>'
_KEY_CELL = '<path class="cell md" fill-opacity="0.6" d="M0 -5H22V5H0Z"/>'
_KEY_SQUARE = '<path class="mark model" d="M8.5 -2.5h5v5h-5z"/>'
_KEY_MORE = '<path class="more" fill-opacity="0.7" d="M6 -5h10v10h-10z"/>'
_KEY_LESS = '<path class="less" fill-opacity="0.7" d="M6 -5h10v10h-10z"/>'


@dataclass(frozen=True)
class Chart:
    """A drawing.

    Attributes:
        svg: The drawing.
        caption: What it says.
    """

    svg: str
    caption: str


@dataclass(frozen=True)
class Series:
    """One thing that is drawn.

    Attributes:
        name: Its name in the legend.
        kind: Its class: ``md`` or ``model``.
        x: [n].
        y: [n].
        low: [n], the lower edge of a band, if there is one.
        high: [n], the upper edge.
        band: The name of the band.
    """

    name: str
    kind: Literal["md", "model"]
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    band: str = ""


@dataclass(frozen=True)
class Axis:
    """An axis: its label and its range; ``ticks`` are chosen where none are given."""

    label: str
    low: float
    high: float
    ticks: tuple[float, ...] = ()

    def marks(self) -> list[tuple[float, str]]:
        """Return the ticks with their labels."""
        values = self.ticks or nice_ticks(self.low, self.high)
        return [(value, f"{value:g}") for value in values]


def nice_ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """Return round numbers between two ends.

    Example:
        >>> nice_ticks(0, 9.4)
        (0.0, 2.0, 4.0, 6.0, 8.0)
    """
    span = (high - low) or 1.0
    step = 10.0 ** np.floor(np.log10(span / count))
    step *= min((1, 2, 5, 10), key=lambda factor: abs(span / (factor * step) - count))
    first = np.ceil(low / step - 1e-9) * step
    count = int((high - first) / step + 1e-9) + 1
    return tuple(float(f"{(round(first / step) + k) * step:.12g}") + 0.0 for k in range(count))


def axis(label: str, *values: Numbers, zero: bool = False) -> Axis:
    """Return an axis that holds all values, with a margin.

    Args:
        label: With the unit.
        values: What is to be seen.
        zero: Whether the axis begins at zero.
    """
    joined = np.concatenate([np.ravel(item) for item in values])
    joined = joined[np.isfinite(joined)]
    low, high = (float(joined.min()), float(joined.max())) if len(joined) else (0.0, 1.0)
    margin = 0.06 * ((high - low) or abs(high) or 1.0)
    return Axis(label, 0.0 if zero else low - margin, high + margin)


class _Canvas:
    def __init__(self, title: str, description: str, x: Axis, y: Axis, square: bool = False) -> None:
        self.x, self.y = x, y
        self.width, self.height = (_SQUARE, _SQUARE + _TOP - _RIGHT) if square else (WIDTH, HEIGHT)
        self.parts: list[str] = []
        self.head = (
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(title)}: '
            f'{escape(description)}"><title>{escape(title)}</title><desc>{escape(description)}</desc>'
        )

    def px(self, values: Numbers) -> Numbers:
        share = (np.asarray(values, float) - self.x.low) / (self.x.high - self.x.low)
        return np.asarray(_LEFT + share * (self.width - _LEFT - _RIGHT))

    def py(self, values: Numbers) -> Numbers:
        share = (np.asarray(values, float) - self.y.low) / (self.y.high - self.y.low)
        return np.asarray(self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM))

    def add(self, part: str) -> None:
        self.parts.append(part)

    def path(self, x: Numbers, y: Numbers) -> str:
        points = [f"{a:.1f} {b:.1f}" for a, b in zip(self.px(x), self.py(y), strict=True)]
        return "M" + "L".join(points)

    def legend(self, *entries: tuple[str, str]) -> None:
        """Add keys above the frame: (drawing between 0 and 22, name) each."""
        at = float(_LEFT)
        for drawing, name in entries:
            text = f'<text class="name" x="28" y="4">{escape(name)}</text>'
            self.add(f'<g transform="translate({at:.0f} 14)">{drawing}{text}</g>')
            at += 46 + 6.6 * len(name)

    def text(self) -> str:
        bottom, right = self.height - _BOTTOM, self.width - _RIGHT
        frame = [f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>']
        for value, label in self.x.marks():
            at = float(self.px(np.array(value)))
            frame.append(f'<path class="axis" d="M{at:.1f} {bottom}v4"/>')
            frame.append(f'<text class="tick" x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{label}</text>')
        for value, label in self.y.marks():
            at = float(self.py(np.array(value)))
            frame.append(f'<path class="grid" d="M{_LEFT} {at:.1f}H{right}"/>')
            frame.append(f'<text class="tick" x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{label}</text>')
        middle, half = (_LEFT + right) / 2, (_TOP + bottom) / 2
        frame.append(
            f'<text class="label" x="{middle}" y="{self.height - 6}" text-anchor="middle">{escape(self.x.label)}</text>'
        )
        frame.append(
            f'<text class="label" transform="translate(13 {half}) rotate(-90)" text-anchor="middle">'
            f"{escape(self.y.label)}</text>"
        )
        return self.head + "".join([*frame, *self.parts]) + "</svg>"


def lines(title: str, description: str, x: Axis, y: Axis, series: Sequence[Series]) -> Chart:
    """Return a chart of lines, each with its band. MD is solid with discs, the model dashed with squares.

    Args:
        title: What the chart shows.
        description: What it says: its caption, also for those who do not see it.
        x: The horizontal axis.
        y: The vertical axis.
        series: The lines, drawn in order.
    """
    canvas = _Canvas(title, description, x, y)
    for one in series:
        if one.low is not None and one.high is not None:
            back = canvas.path(one.x[::-1], one.high[::-1])[1:]
            canvas.add(f'<path class="band {one.kind}" d="{canvas.path(one.x, one.low)}L{back}Z"/>')
    for one in series:
        canvas.add(f'<path class="line {one.kind}" d="{canvas.path(one.x, one.y)}"/>')
        if len(one.x) <= 60:
            canvas.add(_marks(canvas, one, 3.2))
    bands = [(_KEY_BAND.format(one.kind), one.band) for one in series if one.band]
    canvas.legend(*((_KEY_LINE[one.kind], one.name) for one in series), *bands)
    return Chart(canvas.text(), description)


def fluctuation_chart(moved: Fluctuation, model: str) -> Chart:
    """Return the RMSF of model and MD, with the range of MD's replicas if they are given.

    Args:
        moved: The numbers.
        model: The model's name.
    """
    off, ends = float(np.mean(np.abs(moved.model - moved.md))), (float(moved.residues[0]), float(moved.residues[-1]))
    caption = f"RMSF of C-alphas. {model} differs from MD by {off:.2f} Å on average."
    md = Series("MD", "md", moved.residues, moved.md)
    if len(moved.replicas):
        caption += " The band is the range of MD's replicas, each about its own mean; MD is about the mean of all."
        md = replace(md, low=moved.replicas.min(0), high=moved.replicas.max(0), band="each replica by itself")
    return lines(
        "Fluctuation of each residue",
        caption,
        Axis("residue", ends[0] - 0.5, ends[1] + 0.5, whole_ticks(*ends)),
        axis("RMSF of the C-alpha (Å)", moved.model, moved.md, moved.replicas, zero=True),
        [md, Series(model, "model", moved.residues, moved.model)],
    )


def points(title: str, description: str, x: Axis, y: Axis, md: Series, model: Series, square: bool = False) -> Chart:
    """Return the model's points over the density of MD.

    Args:
        title: What the chart shows.
        description: What it says: its caption, also for those who do not see it.
        x: The horizontal axis.
        y: The vertical axis.
        md: Many points: drawn as shaded squares, darker where there are more.
        model: Drawn as small squares; of more than 400, 400 evenly spaced ones.
        square: Whether both axes have the same length.
    """
    canvas = _Canvas(title, description, x, y, square)
    counts, xs, ys = np.histogram2d(md.x, md.y, bins=_BINS, range=[[x.low, x.high], [y.low, y.high]])
    across, down = canvas.px(xs), canvas.py(ys)
    canvas.add(_cells(across, down, np.log1p(counts) / (np.log1p(counts.max()) or 1.0), "cell md"))
    seen = np.flatnonzero((model.x >= x.low) & (model.x <= x.high) & (model.y >= y.low) & (model.y <= y.high))
    seen = seen[evenly_spaced(len(seen), _MOST_MARKS)]
    canvas.add(_dots(canvas, model.x[seen], model.y[seen]))
    canvas.legend((_KEY_CELL, f"{md.name}, darker where more"), (_KEY_SQUARE, model.name))
    return Chart(canvas.text(), description)


def histogram(title: str, description: str, x: Axis, md: Numbers, model: Numbers, name: str, bins: int = 40) -> Chart:
    """Return two histograms as steps, each of area one. What lies beyond the axis is not drawn.

    Args:
        title: What the chart shows.
        description: What it says: its caption, also for those who do not see it.
        x: The axis, with the unit.
        md: [n], of molecular dynamics.
        model: [m].
        name: The model's name.
        bins: How many.
    """
    edges = np.linspace(x.low, x.high, bins + 1)
    shares = [np.histogram(side, edges)[0] / max(len(side), 1) for side in (md, model)]
    y = Axis("share of conformations", 0.0, float(max(share.max() for share in shares)) * 1.08 or 1.0)
    canvas = _Canvas(title, description, x, y)
    for kind, share in zip(("md", "model"), shares, strict=True):
        across, up = np.repeat(edges, 2)[1:-1], np.repeat(share, 2)
        outline = canvas.path(across, up)
        ends = canvas.path(np.array([edges[-1], edges[0]]), np.zeros(2))[1:]
        canvas.add(f'<path class="band {kind}" d="{outline}L{ends}Z"/><path class="line {kind}" d="{outline}"/>')
    canvas.legend((_KEY_LINE["md"], "MD"), (_KEY_LINE["model"], name))
    return Chart(canvas.text(), description)


def matrix(title: str, description: str, values: Numbers, names: tuple[str, str], first: int = 1) -> Chart:
    """Return a symmetric matrix of differences between -1 and 1 as squares.

    Positive differences are drawn above the diagonal and negative ones below it: the place tells them apart.

    Args:
        title: What the chart shows.
        description: What it says: its caption, also for those who do not see it.
        values: [R, R].
        names: What a positive and what a negative difference mean.
        first: The number of the first residue.
    """
    size = len(values)
    x = Axis("residue", first - 0.5, first + size - 0.5, whole_ticks(first, first + size - 1))
    canvas = _Canvas(title, description, x, x, square=True)
    across = canvas.px(np.arange(size + 1) + first - 0.5)
    down = canvas.py(np.arange(size + 1) + first - 0.5)
    # Cell [i, j] lies at x = i, y = j: above the diagonal j > i.
    for kind, part in (("more", np.triu(np.maximum(values, 0), 1)), ("less", np.tril(np.maximum(-values, 0), -1))):
        canvas.add(_cells(across, down, np.where(part >= 0.05, np.minimum(part, 1), 0), kind))
    ends = np.array([first - 0.5, first + size - 0.5])
    canvas.add(f'<path class="axis" d="{canvas.path(ends, ends)}"/>')
    canvas.legend((_KEY_MORE, f"above: {names[0]}"), (_KEY_LESS, f"below: {names[1]}"))
    return Chart(canvas.text(), description)


def whole_ticks(low: float, high: float) -> tuple[float, ...]:
    """Return the round numbers between two ends that are integers."""
    return tuple(value for value in nice_ticks(low, high) if value == int(value))


def _cells(across: Numbers, down: Numbers, shares: Numbers, kind: str) -> str:
    """Rectangles of a regular grid [I, J] in few shades, one path per shade, drawn in units of the grid."""
    levels = np.ceil(np.clip(shares, 0, 1) * _SHADES).astype(int)
    parts: dict[int, list[str]] = {}
    for j, row in enumerate(levels.T):
        ends = [0, *(np.flatnonzero(np.diff(row)) + 1).tolist(), len(row)]
        for start, end in pairwise(ends):
            if level := int(row[start]):
                parts.setdefault(level, []).append(f"M{start} {j}h{end - start}v1h-{end - start}z")
    drawn = "".join(
        f'<path class="{kind}" fill-opacity="{0.1 + 0.8 * level / _SHADES:.2f}" d="{"".join(parts[level])}"/>'
        for level in sorted(parts)
    )
    scale = f"scale({across[1] - across[0]:.4f} {down[1] - down[0]:.4f})"
    return f'<g transform="translate({across[0]:.1f} {down[0]:.1f}) {scale}">{drawn}</g>'


def _dots(canvas: _Canvas, x: Numbers, y: Numbers) -> str:
    """Many small squares: lines of no length with square ends."""
    at = zip(canvas.px(x), canvas.py(y), strict=True)
    return f'<path class="dots model" d="{"".join(f"M{a:.0f} {b:.0f}h0" for a, b in at)}"/>'


def _marks(canvas: _Canvas, one: Series, size: float) -> str:
    """Discs for MD, squares for a model, all in one path."""
    at = zip(canvas.px(one.x), canvas.py(one.y), strict=True)
    if one.kind == "md":
        shapes = [
            f"M{a - size:.1f} {b:.1f}a{size} {size} 0 1 0 {2 * size} 0a{size} {size} 0 1 0 {-2 * size} 0" for a, b in at
        ]
    else:
        side = round(2 * size * 0.88, 1)
        shapes = [f"M{a - side / 2:.1f} {b - side / 2:.1f}h{side}v{side}h{-side}z" for a, b in at]
    return f'<path class="mark {one.kind}" d="{"".join(shapes)}"/>'
