"""Numbers and lists as people write them."""

from __future__ import annotations

import re

SCALES = ((1e9, "billion"), (1e6, "million"))
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def count(value: float) -> str:
    """`1234567` -> `1,234,567`."""
    return f"{round(value):,}"


def rough(value: float) -> str:
    """`1234567` -> `1.23 million`; below a million, every digit."""
    for scale, name in SCALES:
        if value >= scale:
            return f"{value / scale:.3g} {name}"
    return count(value)


def size(value: float) -> str:
    """Bytes in decimal units: `4810000` -> `4.81 MB`."""
    for unit in UNITS[:-1]:
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} {UNITS[-1]}"


def share(value: float) -> str:
    """`0.931` -> `93.1 %`; a share that is not exactly 0 or 1 never reads as 0 % or 100 %."""
    percent = 100 * value
    if percent != 0 and abs(percent) < 0.1:
        return f"{percent:.2g} %"
    digits = 2 if 99.9 < percent < 100 else 1
    return f"{percent:.{digits}f}".removesuffix(".0") + " %"


def number(value: float) -> str:
    """Four significant digits, or every digit of a whole number."""
    return count(value) if float(value).is_integer() and abs(value) >= 1000 else f"{value:.4g}"


def seconds(value: float) -> str:
    """`4.31` -> `4.3 s`, `75` -> `1:15 min`, `3700` -> `1:01:40 h`."""
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02} h" if hours else f"{minutes}:{whole % 60:02} min"


def words(name: str) -> str:
    """The name of a metric or a rule as words: `hard_wrap` -> `hard wrap`."""
    return name.replace("_", " ")


def model_form(name: str) -> str:
    """The name of a model's form, a number format in capitals: `int8` -> `INT8`; `chat` stays."""
    return name.upper() if re.match(r"[a-z]{1,4}\d", name) else name


def plural(value: float, noun: str) -> str:
    """`1 book`, `2 books`."""
    return f"{count(value)} {noun}{'' if round(value) == 1 else 's'}"


def joined(parts: list[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
