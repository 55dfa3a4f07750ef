"""The laws of the report's drawings: axes cover their values, bars keep proportion, graphs go from left to right without overlap."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from tasks.reporting.charts import Bar, Curve, Share, bar_chart, curve_chart, share_chart, thinned
from tasks.reporting.funnel import Level, funnel_chart
from tasks.reporting.layers import arrange, rising
from tasks.reporting.learning import running_mean
from tasks.reporting.parts import NARROW, WIDE, bars_figure
from tasks.reporting.svg import Scale, nice_ticks, tag, tick_labels
from tasks.reporting.wording import joined, number, plural, rough, seconds, share, size

NODE, LANE, GAP = 50.0, 4.0, 13.0
values = st.floats(-1e9, 1e9, allow_nan=False)
series = st.lists(st.tuples(st.integers(0, 10_000).map(float), values), min_size=1, max_size=80)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    """Graphs without cycles, some nodes alone."""
    nodes = [f"n{index}" for index in range(draw(st.integers(1, 12)))]
    pairs = [(a, b) for index, a in enumerate(nodes) for b in nodes[index + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=25)) if pairs else []
    return draw(st.permutations(nodes)), edges


def drawn(svg: Markup) -> ElementTree.Element:
    """A drawing as XML, which it must be."""
    return ElementTree.fromstring(str(svg))


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


@given(values, values, st.integers(2, 8))
def test_ticks_cover_the_range_in_even_steps_that_their_labels_tell_apart(one: float, other: float, about: int) -> None:
    low, high = min(one, other), max(one, other)
    ticks = nice_ticks(low, high, about)
    slack = 1e-6 * max(high - low, abs(low), 1e-9)
    assert ticks[0] <= low + slack and ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= 2 * about + 2
    steps = [b - a for a, b in pairwise(ticks)]
    assert all(step > 0 and math.isclose(step, steps[0], rel_tol=1e-3) for step in steps)
    assert len(set(tick_labels(ticks))) == len(ticks)


@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (math.nan, 1.0), (0.0, math.inf)])
def test_an_axis_without_ends_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="axis"):
        nice_ticks(low, high)


def test_a_scale_maps_its_ends_to_its_pixels() -> None:
    scale = Scale(2, 4, 100, 20)
    assert (scale(2), scale(3), scale(4)) == (100, 60, 20)


def test_content_and_attributes_of_an_element_are_escaped() -> None:
    made = tag("text", '<b>"&', class_='a"b<c', text_anchor="end")
    assert made == '<text class="a&#34;b&lt;c" text-anchor="end">&lt;b&gt;&#34;&amp;</text>'


@given(series, st.integers(3, 20))
def test_a_thinned_curve_is_short_enough_ends_where_it_ended_and_leaves_no_range(points: list[tuple[float, float]], most: int) -> None:
    found = thinned(points, most)
    assert len(found) <= most and found[-1] == points[-1]
    low, high = min(y for _, y in points), max(y for _, y in points)
    assert all(low - 1e-3 <= y <= high + 1e-3 for _, y in found)


@given(series)
def test_a_running_mean_keeps_both_ends_and_every_step(points: list[tuple[float, float]]) -> None:
    smooth = running_mean(points)
    assert (smooth[0], smooth[-1]) == (points[0], points[-1])
    assert [x for x, _ in smooth] == [x for x, _ in points]


@given(series)
@settings(deadline=None)
def test_every_point_of_a_curve_lies_inside_its_drawing(points: list[tuple[float, float]]) -> None:
    svg = drawn(curve_chart([Curve("loss", sorted(points), "strong")], width=300, height=200, x_label="step", y_label="nats"))
    for place in next(svg.iter("polyline")).attrib["points"].split():
        x, y = map(float, place.split(","))
        assert -0.1 <= x <= 300.1 and -0.1 <= y <= 200.1


@pytest.mark.parametrize("points", [[], [(1.0, math.nan)]])
def test_a_chart_of_nothing_or_of_no_number_is_refused(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError):
        curve_chart([Curve("loss", points, "strong")], width=300, height=200, x_label="step", y_label="nats")


def test_bars_are_as_long_as_their_values_and_none_is_lost_to_sight() -> None:
    bars = [Bar("a", 100, "100"), Bar("b", 50, "50"), Bar("c", 0.001, "0.001"), Bar("d", 0, "0")]
    svg = drawn(bar_chart(bars, width=500, label_width=60))
    full, half, tiny, none = (float(rect.attrib["width"]) for rect in svg.iter("rect"))
    assert math.isclose(half, full / 2, abs_tol=0.02) and 1 <= tiny <= 2 and none == 0


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("label", ["train", "a rule with a very long name that fits nowhere", "double pages, precision"])
def test_labels_and_numbers_of_bars_stay_inside_at_both_widths(width: float, label: str) -> None:
    figure = bars_figure("Characters", [Bar(label, 1_421_384, "1,421,384", "12,525 places"), Bar("x", 1, "1")])
    svg = drawn(figure.wide if width == WIDE else figure.narrow)
    for element in svg.iter("text"):
        x, letters = float(element.attrib["x"]), len("".join(element.itertext()))
        start, end = (x - 7 * letters, x) if element.attrib.get("text-anchor") == "end" else (x, x + 7 * letters)
        assert start >= 0 and end <= width


def test_a_share_stands_within_its_whiskers() -> None:
    svg = drawn(share_chart([Share("held out", 0.93, 0.87, 0.96, "93 %")], width=500, label_width=80))
    dot = float(next(svg.iter("circle")).attrib["cx"])
    whisker = next(line for line in svg.iter("line") if line.attrib["class"].startswith("whisker"))
    assert float(whisker.attrib["x1"]) < dot < float(whisker.attrib["x2"])
    assert re.search("93 %", svg.attrib["aria-label"])


WORDED = [
    (share(0.931), "93.1 %"),
    (share(0.99996), "100.00 %"),
    (share(1.0), "100 %"),
    (share(0.00005), "0.005 %"),
    (rough(1_234_567), "1.23 million"),
    (size(4_810_000), "4.81 MB"),
    (number(2048.0), "2,048"),
    (number(0.24453), "0.2445"),
    (seconds(4.31), "4.3 s"),
    (seconds(75), "1:15 min"),
    (seconds(3700), "1:01:40 h"),
    (plural(1, "book"), "1 book"),
    (joined(["a", "b", "c"]), "a, b and c"),
]


@pytest.mark.parametrize(("said", "meant"), WORDED)
def test_numbers_read_as_people_write_them(said: str, meant: str) -> None:
    assert said == meant


levels = st.lists(st.tuples(st.integers(0, 10**9), st.text("abc ,", max_size=120)), min_size=1, max_size=7)


@given(levels, st.sampled_from([NARROW, WIDE]))
def test_a_funnel_s_bars_keep_proportion_and_all_that_is_drawn_stays_inside(found: list[tuple[int, str]], width: float) -> None:
    steps = [Level(f"step {number}", value, f"{value:,}", reasons) for number, (value, reasons) in enumerate(found)]
    svg = drawn(funnel_chart(steps, width=width, description="Characters"))
    bars = [(float(bar.attrib["y"]), float(bar.attrib["x"]), float(bar.attrib["width"])) for bar in svg.iter("rect")]
    height = float(svg.attrib["viewBox"].split()[3])
    most = max(value for value, _ in found) or 1
    full = max(length for _, _, length in bars)
    for (y, x, length), (value, _) in zip(bars, found, strict=True):
        assert length == pytest.approx(max(full * value / most, 1.5 if value else 0), abs=0.02) or full <= 1.5
        assert y + 20 <= height + 0.01 and x + length <= width
    assert all(above + 20 <= below for (above, _, _), (below, _, _) in pairwise(bars)), "no bar covers another"
    assert all(float(text.attrib["y"]) <= height for text in svg.iter("text"))


def test_a_funnel_says_what_went_and_why_between_two_bars_and_to_those_who_cannot_see_it() -> None:
    steps = [Level("read", 100, "100"), Level("cleaned", 90, "90", "−10: 7 stubs, 3 blanks")]
    svg = drawn(funnel_chart(steps, width=WIDE, description="Documents"))
    (first, second) = (float(bar.attrib["y"]) for bar in svg.iter("rect"))
    (reason,) = (text for text in svg.iter("text") if text.text == "−10: 7 stubs, 3 blanks")
    assert first + 20 < float(reason.attrib["y"]) < second
    assert svg.attrib["aria-label"] == "Documents: read 100, cleaned 90 (−10: 7 stubs, 3 blanks)"
