"""A chart of named points over a logarithmic axis, which shows losses of every magnitude."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks.reporting.charts import LETTER, tick_labels, ticks
from tasks.reporting.svg import COLOURS, chart, rendered


@dataclass(frozen=True)
class Point:
    """A named point; `tone` is strong, other or quiet."""

    name: str
    x: float
    y: float
    tone: str = "strong"


def scatter_chart(points: Sequence[Point], *, width: float, height: float, x_label: str, y_label: str, least: float) -> Markup:
    """Draw points with their names. x runs from 0; y is logarithmic, and values below `least` are drawn there."""
    most = max(point.x for point in points)
    heights = [max(point.y, least) for point in points]
    low, high = math.floor(math.log10(min(heights))), math.ceil(math.log10(max(heights)) + 0.2)
    decades = [10.0**power for power in range(low, high + 1)]
    labels = [f"{decade:g}" for decade in decades]
    left, right, top, bottom = LETTER * max(map(len, labels)) + 12, 14.0, 30.0, 40.0
    with chart(width, height) as figure:
        axes = figure.add_axes((left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height))
        axes.set(yscale="log", xlim=(0, most * 1.25), ylim=(decades[0], decades[-1]))
        places = [tick for tick in ticks(0, most * 1.25, 5) if tick <= most * 1.25]
        axes.set_xticks(places, tick_labels(places))
        axes.set_yticks(decades, labels)
        axes.set_yticks([], minor=True)
        axes.grid(axis="y")
        for number, (point, y) in enumerate(sorted(zip(points, heights, strict=True), key=lambda pair: (pair[0].x, pair[0].y))):
            axes.plot([point.x], [y], marker="o", markersize=7, linestyle="", color=COLOURS[point.tone], gid=f"curve {point.tone}")
            above = 7 if number % 2 else -15  # labels alternate above and below their points
            axes.annotate(point.name, (point.x, y), textcoords="offset points", xytext=(5, above), size=12, color=COLOURS["soft"])
        figure.text(0, 1 - 14 / height, y_label, size=12, color=COLOURS["soft"])
        figure.text(1 - right / width, 4 / height, x_label, size=12, color=COLOURS["soft"], ha="right")
        return rendered(figure, f"{y_label} over {x_label}: {', '.join(point.name for point in points)}")
