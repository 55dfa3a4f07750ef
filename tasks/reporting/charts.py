"""Charts: curves over steps, bars with their numbers, shares with their intervals, and a funnel. matplotlib draws them, `svg` styles them.

Widths of text are estimated from its length, since the page's font is the reader's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import wrap
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

from markupsafe import Markup

from tasks.reporting.svg import COLOURS, chart, printable, rendered, tag, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE_POINTS = 600
LETTER, BOLD, SMALL = 7.2, 8.0, 6.6  # average width of a letter in pixels: of text, of bold text, of remarks
LEAST_BAR, LEAST_LENGTH = 40.0, 1.5  # pixels: least room for the longest bar, least length of any
BAR, STEP, LINE, LINES = 20.0, 6.0, 15.0, 3  # of a funnel: a bar, the space between two, a line of reasons, at most so many of them
LEGEND_ROW, LEGEND_LINE = 18.0, 40.0  # pixels of a legend: the height of a row, the line before a name with its spaces
STRIP = 16.0  # pixels: the least width of what answers the pointer in a curve
SMALLEST = 1e-290  # a narrower range has no steps that floating point can tell apart
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """A named line; `tone` is quiet, strong or other, `dots` marks its points."""

    name: str
    points: Points
    tone: str
    dots: bool = False


@dataclass(frozen=True)
class Bar:
    """A labelled bar: its length, the number next to it, and a remark after that."""

    label: str
    value: float
    shown: str
    remark: str = ""
    tone: str = "strong"


@dataclass(frozen=True)
class Share:
    """A share with its interval, all from 0 to 1."""

    label: str
    value: float
    low: float
    high: float
    shown: str
    tone: str = "strong"


@dataclass(frozen=True)
class Level:
    """The remainder after a step of a funnel; `reasons` says what was removed on the way, and why."""

    label: str
    value: float
    shown: str
    reasons: str = ""


def letters(text: str) -> int:
    """Return the width of a text in letters; Chinese, Japanese and Korean characters are two wide."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def thinned(points: Points, most: int = CURVE_POINTS) -> list[tuple[float, float]]:
    """Return at most `most` points: means over even runs of neighbours, each at its run's last step, and the last point as it is."""
    if len(points) <= most:
        return list(points)
    edges = [round(index * (len(points) - 1) / (most - 1)) for index in range(most)]
    runs = [points[start:end] for start, end in pairwise(edges)]
    return [(run[-1][0], sum(y for _, y in run) / len(run)) for run in runs] + [points[-1]]


def curve_chart(curves: Sequence[Curve], *, width: float, height: float, x_label: str, y_label: str, logarithmic: bool = False) -> Markup:
    """Draw curves with axes, a grid and, for more than one, a legend, whose second and later rows add to the height.

    Raises ValueError if there is no point or one that is not finite.
    """
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    if not xs or not all(map(math.isfinite, [*xs, *ys])):
        raise ValueError("a chart needs at least one point, and finite numbers only")
    y_ticks = _decades(min(ys), max(ys)) if logarithmic else ticks(min(ys), max(ys))
    y_labels = [f"{tick:g}" for tick in y_ticks] if logarithmic else tick_labels(y_ticks)
    x_ticks = [tick for tick in ticks(0, max(xs), 6 if width > 500 else 4, whole=True) if tick <= max(xs)]
    left, right, bottom = LETTER * max(map(len, y_labels)) + 12, 14.0, 40.0
    names, columns = legend_of([curve.name for curve in curves], width - left - right)
    more = LEGEND_ROW * (math.ceil(len(names) / columns) - 1)
    height, top = height + more, 30.0 + more
    with chart(width, height) as figure:
        axes = figure.add_axes((left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height))
        axes.set(yscale="log" if logarithmic else "linear", xlim=(0, max(*xs, 1)), ylim=(y_ticks[0], y_ticks[-1]))
        axes.set_yticks(y_ticks, y_labels)
        axes.set_yticks([], minor=True)
        axes.set_xticks(x_ticks, tick_labels(x_ticks))
        axes.grid(axis="y")
        for name, curve in zip(names, curves, strict=True):
            look = {"linewidth": 1, "alpha": 0.75} if curve.tone == "quiet" else {"linewidth": 2, "alpha": 1}
            marker = "o" if curve.dots else ""
            x, y = zip(*thinned(curve.points), strict=True)
            axes.plot(x, y, color=COLOURS[curve.tone], label=name, marker=marker, markersize=6, gid=f"curve {curve.tone}", **look)
        figure.text(0, 1 - 14 / height, y_label, size=12, color=COLOURS["soft"])
        figure.text(1 - right / width, 4 / height, x_label, size=12, color=COLOURS["soft"], ha="right")
        if len(curves) > 1:
            spaces = {"borderpad": 0.2, "handlelength": 1.5, "handletextpad": 0.5, "columnspacing": 1.2}
            axes.legend(loc="lower right", bbox_to_anchor=(1.01, 1.02), ncols=columns, borderaxespad=0, **spaces)
        frame = (left, top, width - right, height - bottom)
        label = f"{y_label} over {x_label}: {', '.join(curve.name for curve in curves)}"
        return rendered(figure, label, overlay=_strips(curves, frame, x_label, y_label))


def _strips(curves: Sequence[Curve], frame: tuple[float, float, float, float], x_label: str, y_label: str) -> Iterator[Markup]:
    """Yield transparent strips side by side, each of which says the curves' values at a point. frame: left, top, right, bottom."""
    left, top, right, bottom = frame
    full = max(*(x for curve in curves for x, _ in curve.points), 1)
    xs = sorted({x for curve in curves for x, _ in curve.points})
    most = max(1, int((right - left) / STRIP))
    shown = xs if len(xs) <= most else [xs[round(number * (len(xs) - 1) / max(1, most - 1))] for number in range(most)]
    places = [left + x / full * (right - left) for x in shown]
    edges = [left, *((one + other) / 2 for one, other in pairwise(places)), right]
    for x, (start, end) in zip(shown, pairwise(edges), strict=True):
        # A curve with few points says its nearest; one that does not reach so far says nothing.
        near = [(curve.name, *min(curve.points, key=lambda point: abs(point[0] - x))) for curve in curves if _reaches(curve, x)]
        values = [f"{name}: {y:.4g}{'' if at == x else f' at {at:g}'}" for name, at, y in near]
        said = title(f"{x_label} {x:g}, {y_label}", *values)
        yield tag("rect", said, x=start, y=top, width=end - start, height=bottom - top, class_="hover")


def _reaches(curve: Curve, x: float) -> bool:
    return min(at for at, _ in curve.points) <= x <= max(at for at, _ in curve.points)


def legend_of(names: Sequence[str], width: float) -> tuple[list[str], int]:
    """Return the names, shortened where one is wider than the legend, and how many fit in a row of it."""
    shown = [shortened(name, max(2, int((width - LEGEND_LINE) / LETTER))) for name in names]
    widest = max(map(letters, shown), default=0) * LETTER + LEGEND_LINE
    return shown, max(1, min(len(shown), int(width / widest)))


def shortened(text: str, most: int) -> str:
    """Return the text, cut to a width of `most` letters with an ellipsis at its end if it is longer."""
    if letters(text) <= most:
        return text
    while letters(text) > most - 1:
        text = text[:-1]
    return f"{text}…"


def bar_chart(bars: Sequence[Bar], *, width: float, label_width: float, most: float = 0.0, description: str = "bars") -> Markup:
    """Draw horizontal bars from zero, one a row; `most` is the value of a full bar, by default the longest bar's."""
    row, room = 26.0, LETTER * max((letters(f"{bar.shown}  {bar.remark}") for bar in bars), default=0) + 12
    full = most or max((bar.value for bar in bars), default=0.0) or 1.0
    length = max(width - label_width - room, LEAST_BAR)
    with chart(width, max(row * len(bars), 1)) as figure:
        axes = figure.add_axes((label_width / width, 0, length / width, 1), xlim=(0, full), ylim=(len(bars) - 0.5, -0.5))
        axes.set_axis_off()
        lengths = [max(bar.value, LEAST_LENGTH / length * full) if bar.value else 0.0 for bar in bars]
        drawn = axes.barh(range(len(bars)), lengths, height=16 / row, color=[COLOURS[bar.tone] for bar in bars])
        for number, (bar, patch) in enumerate(zip(bars, drawn, strict=True)):
            patch.set_gid(f"bar {bar.tone}")
            _write(axes, bar.label, (0, number), -10, ha="right")
            _write(axes, bar.shown, (lengths[number], number), 8, weight="bold")
            if bar.remark:
                _write(axes, bar.remark, (lengths[number], number), 16 + BOLD * letters(bar.shown), size=12, color=COLOURS["soft"])
        said = [f"{bar.label}: {bar.shown}{f', {bar.remark}' if bar.remark else ''}" for bar in bars]
        return rendered(figure, f"{description}: {', '.join(f'{bar.label} {bar.shown}' for bar in bars)}", {"bar": said})


def share_chart(shares: Sequence[Share], *, width: float, label_width: float, description: str = "shares") -> Markup:
    """Draw shares as dots on a common axis from 0 to 100 %, with their intervals as whiskers."""
    row, bottom, room = 28.0, 24.0, BOLD * max(letters(share.shown) for share in shares) + 22
    length, height = width - label_width - room, row * len(shares) + bottom
    marks = (0.0, 0.25, 0.5, 0.75, 1.0) if length > 200 else (0.0, 0.5, 1.0)
    with chart(width, height) as figure:
        place = (label_width / width, bottom / height, length / width, 1 - bottom / height)
        axes = figure.add_axes(place, xlim=(0, 1), ylim=(len(shares) - 0.5, -0.5))
        axes.set_xticks(marks, [f"{100 * mark:.0f} %" for mark in marks])
        axes.set_yticks([])
        axes.grid(axis="x")
        for number, share in enumerate(shares):
            reach = [[max(share.value - share.low, 0.0)], [max(share.high - share.value, 0.0)]]
            look: dict[str, Any] = {"elinewidth": 1.5, "capsize": 5, "capthick": 1.5, "markersize": 10, "clip_on": False}
            dot, _, (whisker,) = axes.errorbar(share.value, number, xerr=reach, fmt="o", color=COLOURS[share.tone], **look)
            dot.set_gid("dot")
            whisker.set_gid("whisker")
            _write(axes, share.label, (0, number), -12, ha="right")
            _write(axes, share.shown, (1, number), 16, weight="bold")
        said = [f"{share.label}: {share.shown}, from {100 * share.low:.1f} to {100 * share.high:.1f} %" for share in shares]
        label = f"{description}: {', '.join(f'{share.label} {share.shown}' for share in shares)}"
        return rendered(figure, label, {"dot": said, "whisker": said})


def funnel_chart(levels: Sequence[Level], *, width: float, description: str) -> Markup:
    """Draw a bar for what is left after each step, from top to bottom, and between two bars what was removed, and why.

    Lengths are proportional, from zero; reasons are wrapped and truncated to fit.
    """
    room = BOLD * max((letters(level.shown) for level in levels), default=0) + 12
    labels = min(LETTER * max((letters(level.label) for level in levels), default=0) + 20, 0.4 * width)
    full = max((level.value for level in levels), default=0.0) or 1.0
    lengths = [max(level.value / full * (width - room - labels), LEAST_LENGTH if level.value else 0.0) for level in levels]
    reasons = [wrap(level.reasons, int((width - labels - 8) / SMALL), max_lines=LINES, placeholder="…") for level in levels]
    tops, height = [], -STEP
    for lines in reasons:
        tops.append(height + STEP + (LINE * len(lines) + 2 if lines else 0))
        height = tops[-1] + BAR
    with chart(width, height) as figure:
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))  # one unit is a pixel
        axes.set_axis_off()
        for (above, top), (below, bottom) in pairwise(zip(lengths, tops, strict=True)):
            axes.fill([labels, labels + above, labels + below, labels], [top + BAR, top + BAR, bottom, bottom], color=COLOURS["grid"], lw=0)
        drawn = axes.barh([top + BAR / 2 for top in tops], lengths, height=BAR, left=labels, color=COLOURS["strong"])
        for level, length, top, lines, patch in zip(levels, lengths, tops, reasons, drawn, strict=True):
            patch.set_gid("bar strong")
            _write(axes, level.label, (labels, top + BAR / 2), -10, ha="right")
            _write(axes, level.shown, (labels + length, top + BAR / 2), 8, weight="bold")
            for number, line in enumerate(reversed(lines)):
                _write(axes, line, (labels, top - STEP / 2 - LINE * (number + 0.5)), 6, size=12, color=COLOURS["soft"])
        steps = ", ".join(f"{level.label} {level.shown}{f' ({level.reasons})' if level.reasons else ''}" for level in levels)
        said = [f"{level.label}: {level.shown}{f'; {level.reasons}' if level.reasons else ''}" for level in levels]
        return rendered(figure, f"{description}: {steps}", {"bar": said})


def _write(axes: Axes, text: str, at: tuple[float, float], right: float, **look: object) -> None:
    """Write a text next to a point, `right` pixels from it, at the same height."""
    shift = {"xytext": (right, 0), "textcoords": "offset points", "annotation_clip": False}
    axes.annotate(printable(text), at, va="center_baseline", **shift, **look)  # type: ignore[arg-type]


def ticks(low: float, high: float, about: int = 5, whole: bool = False) -> list[float]:
    """Return round values in even steps that cover low..high, `whole` numbers if asked; equal ends are widened first."""
    from matplotlib.ticker import MaxNLocator

    if high - low <= max(1e-12 * max(abs(low), abs(high)), SMALLEST):
        room = abs(low) / 2 or 1.0
        low, high = low - room, high + room
    return [
        float(tick) + 0.0 for tick in MaxNLocator(about, steps=[1, 2, 2.5, 5, 10], integer=whole).tick_values(low, high)
    ]  # + 0.0: no negative zero


def _decades(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten that cover low..high, or the powers alone if there are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 2)
    for factors in ((1, 2, 5), (1,)):
        found = [factor * 10.0**power for power in powers for factor in factors]
        first = max(index for index, tick in enumerate(found) if tick <= low or index == 0)
        last = min(index for index, tick in enumerate(found) if tick >= high and index > first)
        if last - first < 7:
            break
    return found[first : last + 1]


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Return the ticks as text, all with the fewest decimals that tell them apart."""
    step = min((after - before for before, after in pairwise(ticks)), default=1.0)
    for digits in range(12):
        if all(abs(round(tick, digits) - tick) < 1e-6 * step for tick in ticks):
            return [f"{tick:,.{digits}f}".replace("-", "−") for tick in ticks]
    return [f"{tick:g}" for tick in ticks]
