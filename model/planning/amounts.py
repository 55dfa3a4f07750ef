"""Large numbers as people read them."""

from __future__ import annotations


def short(number: float) -> str:
    """Shorten a number: `1234567` -> `1.23 M`."""
    for scale, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= scale:
            return f"{number / scale:.3g} {unit}"
    return f"{number:.3g}"


def speed(flops: float) -> str:
    """Format operations per second: `174e9` -> `174 GFLOP/s`."""
    for scale, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G")):
        if flops >= scale:
            return f"{flops / scale:.4g} {unit}FLOP/s"
    return f"{flops / 1e6:.3g} MFLOP/s"


def gibibytes(size: float) -> str:
    """Format bytes in binary units."""
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
