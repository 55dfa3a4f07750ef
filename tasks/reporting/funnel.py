"""A funnel as SVG: a bar for what is left after each step, and between two bars what went, and why.

Guarantees: lengths keep proportion, from zero, to the largest level; reasons are broken into lines, and cut, rather than drawn beyond the
edge. A pure function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import wrap

from markupsafe import Markup

from tasks.reporting.svg import Scale, drawing, tag, text

BAR, STEP, LINE, LINES = 20.0, 6.0, 15.0, 3
LETTER, SMALL = 7.8, 6.6


@dataclass(frozen=True)
class Level:
    """What is left after a step; `reasons` says what went before it, and why."""

    label: str
    value: float
    shown: str
    reasons: str = ""


def funnel_chart(levels: Sequence[Level], *, width: float, description: str) -> Markup:
    """The levels from top to bottom; where nothing went, the bars almost touch."""
    room = LETTER * max((len(level.shown) for level in levels), default=0) + 12
    labels = min(LETTER * max((len(level.label) for level in levels), default=0) + 16, 0.4 * width)
    across = Scale(0, max((level.value for level in levels), default=0.0) or 1.0, labels, width - room)
    letters = int((width - labels - 8) / SMALL)
    told = [wrap(level.reasons, letters, max_lines=LINES, placeholder="…") for level in levels]
    tops, y = [], -STEP
    for lines in told:
        y += STEP + (LINE * len(lines) + 2 if lines else 0)
        tops.append(y)
        y += BAR
    parts: list[Markup] = []
    for (above, top, _), (below, bottom, lines) in pairwise(zip(levels, tops, told, strict=True)):
        corners = [(labels, top + BAR), (across(above.value), top + BAR), (across(below.value), bottom), (labels, bottom)]
        parts.append(tag("polygon", points=" ".join(f"{x:.1f},{at:.1f}" for x, at in corners), class_="flow"))
        parts += [text(labels + 6, top + BAR + LINE * (number + 1), line, "remark") for number, line in enumerate(lines)]
    for level, top in zip(levels, tops, strict=True):
        length = max(across(level.value) - labels, 1.5 if level.value else 0.0)
        parts.append(text(labels - 10, top + 15, level.label, "label", "end"))
        parts.append(tag("rect", x=labels, y=top, width=length, height=BAR, rx=2, class_="bar strong"))
        parts.append(text(labels + length + 8, top + 15, level.shown, "value"))
    said = ", ".join(f"{level.label} {level.shown}{f' ({level.reasons})' if level.reasons else ''}" for level in levels)
    return drawing(width, y, f"{description}: {said}", parts)
