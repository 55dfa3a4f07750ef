"""Charts as SVG: curves over steps, bars with their numbers, shares with their intervals. Pure functions, no state, no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from tasks.reporting.svg import Scale, drawing, line, nice_ticks, tag, text, tick_labels

CURVE_POINTS = 600
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
    """A labelled bar: its length, the number beside it, and a remark after that."""

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


def thinned(points: Points, most: int = CURVE_POINTS) -> list[tuple[float, float]]:
    """At most `most` points: means over even runs of neighbours, each at its run's last place; the last value stays as it is."""
    if len(points) <= most:
        return list(points)
    edges = [round(index * (len(points) - 1) / (most - 1)) for index in range(most)]
    runs = [points[start:end] for start, end in pairwise(edges)]
    return [(run[-1][0], sum(y for _, y in run) / len(run)) for run in runs] + [points[-1]]


def curve_chart(curves: Sequence[Curve], *, width: float, height: float, x_label: str, y_label: str) -> Markup:
    """Curves with axes, grid and legend. Raises ValueError when there is no point at all or one that is not finite."""
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    if not xs:
        raise ValueError("a chart needs at least one point")
    y_ticks = nice_ticks(min(ys), max(ys))
    y_labels = tick_labels(y_ticks)
    left, right, top, bottom = 7.5 * max(map(len, y_labels)) + 14, 14.0, 30.0, 36.0
    x_ticks = [tick for tick in nice_ticks(0, max(xs), 6 if width > 500 else 4) if tick <= max(xs)]
    across = Scale(0, max(max(xs), 1), left, width - right)
    up = Scale(y_ticks[0], y_ticks[-1], height - bottom, top)
    parts = [text(0, 14, y_label, "axis")]
    for tick, label in zip(y_ticks, y_labels, strict=True):
        parts += [line(left, up(tick), width - right, up(tick), "grid"), text(left - 7, up(tick) + 4, label, "axis", "end")]
    for tick, label in zip(x_ticks, tick_labels(x_ticks), strict=True):
        parts.append(text(across(tick), height - bottom + 17, label, "axis", "middle"))
    parts += [text(width - right, height - 3, x_label, "axis", "end")]
    for curve in curves:
        places = [(across(x), up(y)) for x, y in thinned(curve.points)]
        parts.append(tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places), class_=f"curve {curve.tone}"))
        parts += [tag("circle", cx=x, cy=y, r=3, class_=f"dot {curve.tone}") for x, y in places if curve.dots]
    at = width - right
    for curve in reversed(curves):
        parts.append(text(at, 14, curve.name, "axis", "end"))
        at -= 7.4 * len(curve.name) + 8
        parts.append(line(at - 18, 10, at, 10, f"curve {curve.tone}"))
        at -= 32
    return drawing(width, height, f"{y_label} over {x_label}: {', '.join(curve.name for curve in curves)}", parts)


def bar_chart(bars: Sequence[Bar], *, width: float, label_width: float, most: float = 0.0, description: str = "bars") -> Markup:
    """Horizontal bars from zero, one a row; `most` is the value of a full bar, by default the longest bar's."""
    row, room = 26.0, 7.2 * max((len(f"{bar.shown}  {bar.remark}") for bar in bars), default=0) + 12
    full = most or max((bar.value for bar in bars), default=0.0) or 1.0
    across = Scale(0, full, 0, max(width - label_width - room, 40.0))
    parts: list[Markup] = []
    for number, bar in enumerate(bars):
        y = number * row
        length = max(across(bar.value), 1.5 if bar.value else 0.0)
        parts.append(text(label_width - 10, y + 17, bar.label, "label", "end"))
        parts.append(tag("rect", x=label_width, y=y + 5, width=length, height=16.0, rx=2, class_=f"bar {bar.tone}"))
        shown = tag("tspan", bar.shown, class_="value")
        remark = tag("tspan", bar.remark, dx=8, class_="remark") if bar.remark else Markup("")
        parts.append(tag("text", shown, remark, x=label_width + length + 8, y=y + 17))
    return drawing(width, row * len(bars), f"{description}: {', '.join(f'{bar.label} {bar.shown}' for bar in bars)}", parts)


def share_chart(shares: Sequence[Share], *, width: float, label_width: float, description: str = "shares") -> Markup:
    """Shares as dots on a common axis from 0 to 100 %, with their intervals as whiskers."""
    row, room = 28.0, 8.2 * max(len(share.shown) for share in shares) + 16
    across = Scale(0, 1, label_width, width - room)
    bottom = row * len(shares) + 4
    parts: list[Markup] = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0) if across(1) - across(0) > 200 else (0.0, 0.5, 1.0):
        percent = f"{tick:.0%}".replace("%", " %")
        parts += [line(across(tick), 0, across(tick), bottom, "grid"), text(across(tick), bottom + 15, percent, "axis", "middle")]
    for number, share in enumerate(shares):
        y = number * row + row / 2
        parts.append(text(label_width - 12, y + 4, share.label, "label", "end"))
        parts.append(line(across(share.low), y, across(share.high), y, f"whisker {share.tone}"))
        parts += [line(across(end), y - 5, across(end), y + 5, f"whisker {share.tone}") for end in (share.low, share.high)]
        parts.append(tag("circle", cx=across(share.value), cy=y, r=5, class_=f"dot {share.tone}"))
        parts.append(text(width - room + 14, y + 4, share.shown, "value"))
    return drawing(width, bottom + 20, f"{description}: {', '.join(f'{share.label} {share.shown}' for share in shares)}", parts)
