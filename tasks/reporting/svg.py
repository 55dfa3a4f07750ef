"""SVG elements as escaped text, and the scales that drawings share.

Guarantees: every attribute and every text is escaped; colours are classes of the page's style sheet, so a drawing follows light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

SMALLEST = 1e-290  # a narrower range has no steps that floating point can tell apart


def tag(name: str, *content: str, **attributes: object) -> Markup:
    """An element. `class_` gives class; underscores in names become hyphens; content that is not Markup is escaped; numbers are short."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"' for key, value in attributes.items() if value != "")
    return Markup(f"<{name}{written}>{''.join(escape(part) for part in content)}</{name}>")


def text(x: float, y: float, content: str, class_: str = "", anchor: str = "") -> Markup:
    """A line of text whose baseline starts (or, by `anchor`, is centred or ends) at x, y."""
    return tag("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def drawing(width: float, height: float, label: str, parts: Iterable[str]) -> Markup:
    """A drawing that is never wider than `width` pixels and shrinks with the page; `label` describes it to those who can't see it."""
    view = f"0 0 {_short(width)} {_short(height)}"
    return tag("svg", *parts, viewBox=view, style=f"max-width:{_short(width)}px", role="img", aria_label=label)


def _short(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


@dataclass(frozen=True)
class Scale:
    """A linear map from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values that cover low..high in even steps of 1, 2, 2.5 or 5 times a power of ten, near `about` of them.

    Equal ends are widened first. Raises ValueError for ends that are not finite or in the wrong order.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise ValueError(f"no axis goes from {low} to {high}")
    if high - low <= max(1e-12 * max(abs(low), abs(high)), SMALLEST):
        room = abs(low) / 2 or 1.0
        low, high = low - room, high + room
    rough = (high - low) / max(about - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, 2 - math.floor(math.log10(step)))
    return [round(index * step, digits) + 0.0 for index in range(first, last + 1)]


def tick_labels(ticks: list[float]) -> list[str]:
    """The ticks as text, all with as many decimals as tell them apart."""
    step = min((after - before for before, after in pairwise(ticks)), default=1.0)
    for digits in range(12):
        if all(abs(round(tick, digits) - tick) < 1e-6 * step for tick in ticks):
            return [f"{tick:,.{digits}f}" for tick in ticks]
    return [f"{tick:g}" for tick in ticks]
