"""Where the nodes of a layered graph go, left to right: the longest path decides the column, neighbours decide the row.

An edge over several columns runs through a lane in each of those between; all long edges of one node share its lanes, so that a
tokenizer that seven stages read is one line with seven branches. Guarantees: edges go from left to right, no two items of a column
overlap, nodes without neighbours are placed too, and the same graph gives the same drawing. Raises ValueError for a cycle.
After Sugiyama, Tagawa and Toda (1981): columns, barycentre sweeps, then positions; the last by pooling adjacent violators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Item = tuple[str, int]
"""(node, column): the node itself in its own column, its lane in a later one."""


@dataclass(frozen=True)
class Layout:
    """Columns of items with the y of each centre; `links` join items of neighbouring columns."""

    columns: tuple[tuple[Item, ...], ...]
    column_of: Mapping[str, int]
    y: Mapping[Item, float]
    links: tuple[tuple[Item, Item], ...]
    height: float

    def is_lane(self, item: Item) -> bool:
        """Whether an item is a lane and not a node."""
        return self.column_of[item[0]] != item[1]


def arrange(nodes: Sequence[str], edges: Sequence[tuple[str, str]], *, node: float, lane: float, gap: float) -> Layout:
    """Lay a graph out; `node` and `lane` are heights, `gap` the least distance between two items of a column."""
    column_of = _columns(nodes, edges)
    columns: list[list[Item]] = [[] for _ in range(max(column_of.values(), default=-1) + 1)]
    for name in nodes:
        columns[column_of[name]].append((name, column_of[name]))
    links: dict[tuple[Item, Item], None] = {}
    for source, target in edges:
        for column in range(column_of[source], column_of[target]):
            end = (target, column + 1) if column + 1 == column_of[target] else (source, column + 1)
            if end[0] == source and end not in columns[column + 1]:
                columns[column + 1].append(end)
            links[((source, column), end)] = None
    neighbours: dict[Item, list[Item]] = {item: [] for column in columns for item in column}
    for start, end in links:
        neighbours[start].append(end)
        neighbours[end].append(start)
    _order(columns, neighbours)
    y = _place(columns, neighbours, column_of, node, lane, gap)
    top = min((at - node / 2 for at in y.values()), default=0.0)
    y = {item: at - top for item, at in y.items()}
    height = max((at + node / 2 for at in y.values()), default=0.0)
    return Layout(tuple(tuple(column) for column in columns), column_of, y, tuple(links), height)


def _columns(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    column_of = dict.fromkeys(nodes, 0)
    for _ in range(len(nodes) + 1):
        moved = False
        for source, target in edges:
            if column_of[target] <= column_of[source]:
                column_of[target], moved = column_of[source] + 1, True
        if not moved:
            return column_of
    raise ValueError("the graph has a cycle, so it has no columns")


def _order(columns: list[list[Item]], neighbours: Mapping[Item, list[Item]]) -> None:
    """Sort every column by the mean rank of its items' neighbours, sweeping to the right and back."""
    for sweep in range(8):
        step = 1 if sweep % 2 == 0 else -1
        for column in range(len(columns))[::step]:
            rank = {item: index / max(len(items) - 1, 1) for items in columns for index, item in enumerate(items)}
            before = {item: [rank[n] for n in neighbours[item] if n[1] == column - step] for item in columns[column]}
            columns[column].sort(key=lambda item: _mean(before[item], rank[item]))


def _place(
    columns: list[list[Item]], neighbours: Mapping[Item, list[Item]], column_of: Mapping[str, int], node: float, lane: float, gap: float
) -> dict[Item, float]:
    """Pull items towards their neighbours' mean height, never closer to each other than they may be."""

    def tall(item: Item) -> float:
        return node if column_of[item[0]] == item[1] else lane

    offsets = {}
    for column in columns:
        at = 0.0
        for index, item in enumerate(column):
            at += (tall(column[index - 1]) + tall(item)) / 2 + gap if index else 0.0
            offsets[item] = at
    y = {item: offsets[item] - offsets[column[-1]] / 2 for column in columns for item in column}
    for sweep in range(24):
        for column in columns[:: 1 if sweep % 2 == 0 else -1]:
            wished = [_mean([y[n] for n in neighbours[item]], y[item]) - offsets[item] for item in column]
            y |= {item: at + offsets[item] for item, at in zip(column, rising(wished), strict=True)}
    return y


def rising(values: Sequence[float]) -> list[float]:
    """The non-decreasing sequence nearest to `values` in squares."""
    pools: list[tuple[float, int]] = []
    for value in values:
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools[-2:]
            pools[-2:] = [((a * m + b * n) / (m + n), m + n)]
    return [mean for mean, size in pools for _ in range(size)]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
