"""The laws of the lineage's layout: edges go from left to right, nothing overlaps, and few lines cross."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.reporting.lineage_drawing import Item, arrange, crossings, rising

NODE, LANE, GAP = 50.0, 4.0, 13.0


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    """Graphs without cycles, some nodes alone."""
    nodes = [f"n{index}" for index in range(draw(st.integers(1, 12)))]
    pairs = [(a, b) for index, a in enumerate(nodes) for b in nodes[index + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=25)) if pairs else []
    return draw(st.permutations(nodes)), edges


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_every_edge_goes_from_left_to_right_through_neighbouring_columns(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    nodes, edges = graph
    layout = arrange(nodes, edges, node=NODE, lane=LANE, gap=GAP)
    assert set(layout.column_of) == set(nodes)
    assert all(end[1] == start[1] + 1 for start, end in layout.links)
    links = set(layout.links)
    for source, target in edges:
        lanes = [(source, column) for column in range(layout.column_of[source], layout.column_of[target])]
        assert set(pairwise([*lanes, (target, layout.column_of[target])])) <= links


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_no_two_items_of_a_column_overlap_and_all_lie_inside(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    layout = arrange(*graph, node=NODE, lane=LANE, gap=GAP)
    for column in layout.columns:
        halves = {item: (LANE if layout.is_lane(item) else NODE) / 2 for item in column}
        for above, below in pairwise(column):
            assert layout.y[below] - halves[below] >= layout.y[above] + halves[above] + GAP - 1e-6
        assert all(layout.y[item] - half >= -1e-6 and layout.y[item] + half <= layout.height + 1e-6 for item, half in halves.items())


@given(graphs())
@settings(max_examples=20, deadline=None)
def test_the_same_graph_gives_the_same_drawing(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    assert arrange(*graph, node=NODE, lane=LANE, gap=GAP) == arrange(*graph, node=NODE, lane=LANE, gap=GAP)


def test_a_cycle_has_no_drawing() -> None:
    with pytest.raises(ValueError, match="cycle"):
        arrange(["a", "b"], [("a", "b"), ("b", "a")], node=NODE, lane=LANE, gap=GAP)


@given(st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_rising_values_rise_keep_their_sum_and_stay_as_they_are(found: list[float]) -> None:
    rose = rising(found)
    assert all(a <= b + 1e-6 for a, b in pairwise(rose))
    assert math.isclose(sum(rose), sum(found), abs_tol=1e-3)
    assert rising(sorted(found)) == sorted(found)


def test_edges_that_need_not_cross_do_not() -> None:
    nodes = ["a", "b", "c", "x", "y", "z"]
    layout = arrange(nodes, [("a", "z"), ("b", "y"), ("c", "x")], node=NODE, lane=LANE, gap=GAP)
    order = [[name for name, _ in column] for column in layout.columns]
    assert [{"a": "z", "b": "y", "c": "x"}[name] for name in order[0]] == order[1]


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_no_more_lines_cross_than_in_the_plain_topological_order(graph: tuple[list[str], list[tuple[str, str]]]) -> None:
    layout = arrange(*graph, node=NODE, lane=LANE, gap=GAP)
    rank = {name: index for index, name in enumerate(layout.column_of)}
    assert all(rank[source] < rank[target] for source, target in graph[1])
    plain = [sorted(column, key=lambda item: rank[item[0]]) for column in layout.columns]
    shown = [sorted(column, key=lambda item: layout.y[item]) for column in layout.columns]
    links = list(layout.links)
    assert crossings(plain, links) == crossing_pairs(plain, links)
    assert crossings(shown, links) == crossing_pairs(shown, links) <= crossing_pairs(plain, links)


def crossing_pairs(columns: list[list[Item]], links: list[tuple[Item, Item]]) -> int:
    """Count crossings by comparing every two links."""
    at = {item: index for column in columns for index, item in enumerate(column)}
    ends = [(start[1], at[start], at[end]) for start, end in links]
    return sum(a[0] == b[0] and (a[1] - b[1]) * (a[2] - b[2]) < 0 for a, b in combinations(ends, 2))


def test_a_node_that_reads_nothing_is_beside_its_first_reader() -> None:
    layout = arrange(["a", "b", "c", "late"], [("a", "b"), ("b", "c"), ("late", "c")], node=NODE, lane=LANE, gap=GAP)
    assert layout.column_of == {"a": 0, "b": 1, "late": 1, "c": 2}


def test_long_edges_of_a_node_share_a_lane() -> None:
    nodes = ["tokenizer", "a", "b", "c"]
    chain = [("tokenizer", "a"), ("a", "b"), ("b", "c"), ("tokenizer", "b"), ("tokenizer", "c")]
    layout = arrange(nodes, chain, node=NODE, lane=LANE, gap=GAP)
    assert [item for column in layout.columns for item in column if layout.is_lane(item)] == [("tokenizer", 1), ("tokenizer", 2)]
