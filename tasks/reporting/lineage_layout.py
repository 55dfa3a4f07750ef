"""Lay out a graph from left to right. igraph finds the columns, and an order within them in which few edges cross.

An edge that spans several columns passes each one between in a lane. All long edges of a node share its lanes, so a tokenizer that
seven stages read is one line with seven branches. Heights are set here, since igraph spaces everything evenly and a lane needs less
room than a box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

Node = TypeVar("Node", str, tuple[str, int])
Item = tuple[str, int]
"""(node, column): the node itself in its own column, its lane in a later one."""

ROUNDS = 200  # of crossing reduction: twice igraph's default, since these graphs are small
SWEEPS = 24


@dataclass(frozen=True)
class Layout:
    """Columns of items with the y of each centre; `links` join items of neighbouring columns."""

    columns: tuple[tuple[Item, ...], ...]
    column_of: Mapping[str, int]
    y: Mapping[Item, float]
    links: tuple[tuple[Item, Item], ...]
    height: float

    def is_lane(self, item: Item) -> bool:
        """Return whether an item is a lane and not a node."""
        return self.column_of[item[0]] != item[1]


def arrange(nodes: Sequence[str], edges: Sequence[tuple[str, str]], *, node: float, lane: float, gap: float) -> Layout:
    """Lay a graph out; `node` and `lane` are heights, `gap` is the least space between two items of a column.

    The same graph gives the same layout. Raises ValueError if the graph has a cycle.
    """
    column_of = {name: round(y) for name, (_, y) in _sugiyama(nodes, edges).items()}
    items: dict[Item, None] = dict.fromkeys(column_of.items())
    links: dict[tuple[Item, Item], None] = {}
    for source, target in edges:
        for column in range(column_of[source], column_of[target]):
            end = (target, column + 1) if column + 1 == column_of[target] else (source, column + 1)
            items[end] = None
            links[((source, column), end)] = None
    at = _sugiyama(list(items), list(links), [column for _, column in items])
    columns: list[list[Item]] = [[] for _ in range(max(column_of.values(), default=-1) + 1)]
    for item in sorted(items, key=lambda item: at[item][0]):
        columns[item[1]].append(item)
    heights = {item: node if column_of[item[0]] == item[1] else lane for item in items}
    y = _heights(columns, list(links), heights, gap)
    top = min((y[item] - heights[item] / 2 for item in items), default=0.0)
    bottom = max((y[item] + heights[item] / 2 for item in items), default=0.0)
    return Layout(tuple(map(tuple, columns)), column_of, {item: y[item] - top for item in items}, tuple(links), bottom - top)


def _sugiyama(
    nodes: Sequence[Node], edges: Sequence[tuple[Node, Node]], layers: list[int] | None = None
) -> dict[Node, tuple[float, float]]:
    """Return (position within the layer, layer) of each node."""
    import igraph

    number = {node: index for index, node in enumerate(nodes)}
    graph = igraph.Graph(len(nodes), [(number[source], number[target]) for source, target in edges], directed=True)
    if not graph.is_dag():
        raise ValueError("A graph with a cycle can't be drawn from left to right.")
    coordinates = graph.layout_sugiyama(layers=layers, maxiter=ROUNDS).coords if nodes else []
    return {node: (x, y) for node, (x, y) in zip(nodes, coordinates, strict=False)}  # igraph adds its own nodes on long edges


def _heights(
    columns: Sequence[Sequence[Item]], links: Sequence[tuple[Item, Item]], sizes: Mapping[Item, float], gap: float
) -> dict[Item, float]:
    """Pull each item to the mean height of its neighbours, sweeping right and left, and keep the items of a column `gap` apart."""
    neighbours: dict[Item, list[Item]] = {item: [] for column in columns for item in column}
    for start, end in links:
        neighbours[start].append(end)
        neighbours[end].append(start)
    packed: dict[Item, float] = {}
    for column in columns:
        bottom = 0.0
        for item in column:
            packed[item] = bottom + sizes[item] / 2
            bottom += sizes[item] + gap
    y = {item: packed[item] - packed[column[-1]] / 2 for column in columns for item in column}
    for sweep in range(SWEEPS):
        for column in columns[:: 1 if sweep % 2 == 0 else -1]:
            wanted = [fmean([y[near] for near in neighbours[item]] or [y[item]]) - packed[item] for item in column]
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
