"""Apportions a number of seats among groups in proportion to their sizes."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from fractions import Fraction


def apportion(sizes: Mapping[str, int], wanted: int) -> dict[str, int]:
    """Return how many of `wanted` seats each group gets, never more than its size; groups that get none are left out.

    The method of Webster and Sainte-Lague: each next seat goes to the group with the largest size / (2 x seats so far + 1), ties by name.
    One more member in a group moves at most one seat, from one other group to it (Balinski and Young, Fair Representation, 1982).
    """
    seats: dict[str, int] = {}
    waiting = [(-Fraction(size), name) for name, size in sizes.items() if size]
    heapq.heapify(waiting)
    for _ in range(min(wanted, sum(sizes.values()))):
        _, name = heapq.heappop(waiting)
        seats[name] = seats.get(name, 0) + 1
        if seats[name] < sizes[name]:
            heapq.heappush(waiting, (-Fraction(sizes[name], 2 * seats[name] + 1), name))
    return seats
