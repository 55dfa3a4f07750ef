"""A number of seats divided among groups in proportion to their size."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from fractions import Fraction


def seats(sizes: Mapping[str, int], wanted: int) -> dict[str, int]:
    """How many of `wanted` each group gets, never more than its size; groups that get none are left out.

    The method of Webster and Sainte-Lague: each next seat goes to the group with the largest size / (2 x seats so far + 1), ties by name.
    One member more in a group moves at most one seat, to it and from one other (Balinski and Young, Fair Representation, 1982).
    """
    given: dict[str, int] = {}
    waiting = [(-Fraction(size), name) for name, size in sizes.items() if size]
    heapq.heapify(waiting)
    for _ in range(min(wanted, sum(sizes.values()))):
        _, name = heapq.heappop(waiting)
        given[name] = given.get(name, 0) + 1
        if given[name] < sizes[name]:
            heapq.heappush(waiting, (-Fraction(sizes[name], 2 * given[name] + 1), name))
    return given
