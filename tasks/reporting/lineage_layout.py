"""Lay out a graph from left to right: networkx finds the columns, and sweeps over them an order in which few edges cross.

An edge that spans several columns passes each one between in a lane. All long edges of a node share its lanes, so a tokenizer that
seven stages read is one line with seven branches.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

Item = tuple[str, int]
"""(node, column): the node itself in its own column, its lane in a later one."""
Link = tuple[Item, Item]

SWEEPS = 24


@dataclass(frozen=True)
class LineageLayout:
    """Columns of items with the y of each centre; `links` join items of neighbouring columns."""

    columns: tuple[tuple[Item, ...], ...]
    column_of: Mapping[str, int]
    y: Mapping[Item, float]
    links: tuple[Link, ...]
    height: float

    def is_lane(self, item: Item) -> bool:
        """Return whether an item is a lane and not a node."""
        return self.column_of[item[0]] != item[1]


def arrange(nodes: Sequence[str], edges: Sequence[tuple[str, str]], *, node: float, lane: float, gap: float) -> LineageLayout:
    """Lay a graph out; `node` and `lane` are heights, `gap` is the least space between two items of a column.

    The same graph gives the same layout. Raises ValueError if the graph has a cycle.
    """
    column_of = _columns(nodes, edges)
    unordered, links = _items(column_of, edges)
    columns = _uncrossed(unordered, links)
    heights = {item: node if column_of[item[0]] == item[1] else lane for column in columns for item in column}
    y = _heights(columns, links, heights, gap)
    top = min((y[item] - height / 2 for item, height in heights.items()), default=0.0)
    bottom = max((y[item] + height / 2 for item, height in heights.items()), default=0.0)
    return LineageLayout(tuple(map(tuple, columns)), column_of, {item: y[item] - top for item in y}, tuple(links), bottom - top)


def _columns(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return the column of each node, in topological order: the length of the longest path to it."""
    import networkx

    graph = networkx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    if not networkx.is_directed_acyclic_graph(graph):
        raise ValueError("A graph with a cycle can't be drawn from left to right.")
    column_of = {node: column for column, found in enumerate(networkx.topological_generations(graph)) for node in found}
    # Place a node that reads nothing beside its first reader, to shorten its lane.
    late = {node: min(column_of[reader] for reader in graph[node]) - 1 for node in nodes if graph[node] and not graph.pred[node]}
    return column_of | late


def _items(column_of: Mapping[str, int], edges: Sequence[tuple[str, str]]) -> tuple[list[list[Item]], list[Link]]:
    """Return the items of each column, in the order of their nodes, and the links between them."""
    links: dict[Link, None] = {}
    last = dict(column_of)
    for source, target in edges:
        last[source] = max(last[source], column_of[target] - 1)
        for column in range(column_of[source], column_of[target]):
            end = target if column + 1 == column_of[target] else source
            links[((source, column), (end, column + 1))] = None
    columns: list[list[Item]] = [[] for _ in range(max(column_of.values(), default=-1) + 1)]
    for name, first in column_of.items():
        for column in range(first, last[name] + 1):
            columns[column].append((name, column))
    return columns, list(links)


def _uncrossed(columns: list[list[Item]], links: Sequence[Link]) -> list[list[Item]]:
    """Sweep right and left, sorting each column by the mean position of its neighbours; return the order with the fewest crossings."""
    best, fewest = columns, crossings(columns, links)
    columns = [list(column) for column in columns]
    before, after = _neighbours(links)
    at = {item: (index + 0.5) / len(column) for column in columns for index, item in enumerate(column)}
    for sweep in range(SWEEPS):
        near, step = (before, 1) if sweep % 2 == 0 else (after, -1)
        for column in columns[::step]:
            if sweep % 4 >= 2:
                column.reverse()  # sorting is stable, so both orders of equal items are tried
            column.sort(key=lambda item: fmean(at[other] for other in near.get(item, [item])))
            at |= {item: (index + 0.5) / len(column) for index, item in enumerate(column)}
        if (crossed := crossings(columns, links)) < fewest:
            best, fewest = [list(column) for column in columns], crossed
    return best


def crossings(columns: Sequence[Sequence[Item]], links: Iterable[Link]) -> int:
    """Return how many pairs of links cross between neighbouring columns."""
    at = {item: index for column in columns for index, item in enumerate(column)}
    between: dict[int, list[tuple[int, int]]] = {}
    for start, end in links:
        between.setdefault(start[1], []).append((at[start], at[end]))
    total = 0
    for pairs in between.values():
        ends: list[int] = []  # of the links that start above, sorted
        for _, below in sorted(pairs):
            total += len(ends) - bisect_right(ends, below)
            insort(ends, below)
    return total


def _neighbours(links: Iterable[Link]) -> tuple[dict[Item, list[Item]], dict[Item, list[Item]]]:
    """Return the neighbours of each item in the column before it, and in the one after it."""
    before: dict[Item, list[Item]] = {}
    after: dict[Item, list[Item]] = {}
    for start, end in links:
        before.setdefault(end, []).append(start)
        after.setdefault(start, []).append(end)
    return before, after


def _heights(columns: Sequence[Sequence[Item]], links: Sequence[Link], sizes: Mapping[Item, float], gap: float) -> dict[Item, float]:
    """Pull each item to the mean height of its neighbours, sweeping right and left, and keep the items of a column `gap` apart."""
    before, after = _neighbours(links)
    packed: dict[Item, float] = {}
    for column in columns:
        bottom = 0.0
        for item in column:
            packed[item] = bottom + sizes[item] / 2
            bottom += sizes[item] + gap
    y = {item: packed[item] - packed[column[-1]] / 2 for column in columns for item in column}
    for sweep in range(SWEEPS):
        for column in columns[:: 1 if sweep % 2 == 0 else -1]:
            wanted = [fmean(y[near] for near in [*before.get(item, []), *after.get(item, [])] or [item]) - packed[item] for item in column]
            y |= {item: height + packed[item] for item, height in zip(column, rising(wanted), strict=True)}
    return y


def rising(values: Sequence[float]) -> list[float]:
    """Return the non-decreasing sequence nearest to `values` in squares, by pooling adjacent violators."""
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools[-2:]
            pools[-2:] = [((a * m + b * n) / (m + n), m + n)]
    return [mean for mean, size in pools for _ in range(size)]
