"""The laws of the report's charts: axes cover their values, bars are proportional, and everything drawn is inside."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from tasks.reporting.charts import (
    Bar,
    Curve,
    Level,
    Share,
    bar_chart,
    curve_chart,
    funnel_chart,
    letters,
    share_chart,
    thinned,
    tick_labels,
    ticks,
)
from tasks.reporting.learning import running_mean
from tasks.reporting.parts import NARROW, WIDE, bars_figure
from tasks.reporting.sizes import Point, scatter_chart
from tasks.reporting.svg import breakable, tag

HOSTILE = "<script>alert(1)</script>\x00\n$\\frac"
values = st.floats(-1e9, 1e9, allow_nan=False)
series = st.lists(st.tuples(st.integers(0, 10_000).map(float), values), min_size=1, max_size=80)


def drawn(svg: Markup) -> ElementTree.Element:
    """A drawing as XML, which it must be."""
    return ElementTree.fromstring(str(svg))


def corners(path: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a path, moved to where it is drawn."""
    shift = [float(found) for found in re.findall(r"-?[\d.]+", path.attrib.get("transform", "0 0"))]
    found = [float(number) for number in re.findall(r"-?[\d.]+", path.attrib["d"])]
    xs, ys = [x + shift[0] for x in found[::2]], [y + shift[1] for y in found[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def shapes(svg: ElementTree.Element, kind: str) -> list[tuple[float, float, float, float]]:
    """Where each shape of a kind (bar, dot, whisker, curve) is, from first to last."""
    return [corners(path) for group in svg.iter("g") if group.attrib["class"].split()[0] == kind for path in group.iter("path")]


@given(values, values, st.integers(2, 8))
def test_ticks_cover_the_range_in_even_steps_that_their_labels_tell_apart(one: float, other: float, about: int) -> None:
    low, high = min(one, other), max(one, other)
    found = ticks(low, high, about)
    slack = 1e-6 * max(high - low, abs(low), 1e-9)
    assert found[0] <= low + slack and found[-1] >= high - slack
    assert 2 <= len(found) <= 2 * about + 2
    steps = [b - a for a, b in pairwise(found)]
    assert all(step > 0 and math.isclose(step, steps[0], rel_tol=1e-3) for step in steps)
    assert len(set(tick_labels(found))) == len(found)


def test_content_and_attributes_of_an_element_are_escaped() -> None:
    made = tag("text", '<b>"&', class_='a"b<c', text_anchor="end")
    assert made == '<text class="a&#34;b&lt;c" text-anchor="end">&lt;b&gt;&#34;&amp;</text>'


def test_names_of_any_kind_are_drawn_as_text() -> None:
    svg = drawn(bar_chart([Bar(HOSTILE, 1, HOSTILE, HOSTILE)], width=500, label_width=60, description=HOSTILE))
    texts = [element.text for element in svg.iter("text")]
    assert len(texts) == 3 and all("<script>alert(1)</script>\ufffd $\\frac" in str(text) for text in texts)
    assert not list(svg.iter("script"))


def test_a_name_breaks_behind_its_joints_and_stays_text() -> None:
    assert breakable("my_books/a.txt") == Markup("my_<wbr>books/<wbr>a.<wbr>txt")
    assert breakable("<b>_x") == Markup("&lt;b&gt;_x") and breakable(Markup("a&amp;b-c")) == Markup("a&amp;b-<wbr>c")


@pytest.mark.filterwarnings("error")
def test_names_in_scripts_that_matplotlib_s_font_lacks_are_drawn_without_a_word() -> None:
    svg = bar_chart([Bar("日本語", 1, "1"), Bar("العربية\t", 2, "2")], width=500, label_width=60)
    assert "日本語" in svg and "العربية" in svg


def test_the_same_chart_gives_the_same_bytes_in_the_colours_of_the_page() -> None:
    curves = [Curve("train", [(1, 2), (2, 1)], "strong", dots=True), Curve("validation", [(2, 1.5)], "other", dots=True)]
    first, second = (curve_chart(curves, width=300, height=200, x_label="step", y_label="nats") for _ in range(2))
    assert first == second
    assert {"var(--strong)", "var(--other)", "var(--grid)", "var(--soft)"} <= set(re.findall(r"var\(--\w+\)", first))
    assert "#" not in first and " id=" not in first and "font-family" not in first and "url(" not in first


@given(series, st.integers(3, 20))
def test_a_thinned_curve_is_short_keeps_its_end_and_stays_in_range(points: list[tuple[float, float]], most: int) -> None:
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
@settings(deadline=None, max_examples=40)
def test_every_point_of_a_curve_lies_inside_its_drawing(points: list[tuple[float, float]]) -> None:
    curve = Curve("loss", sorted(points), "strong", dots=True)
    svg = drawn(curve_chart([curve], width=300, height=200, x_label="step", y_label="nats"))
    places = shapes(svg, "curve")
    assert places
    assert all(left >= -3.1 and top >= -3.1 and right <= 303.1 and bottom <= 203.1 for left, top, right, bottom in places)


@given(st.lists(st.tuples(st.integers(0, 10_000).map(float), st.floats(1e-9, 1e9)), min_size=1, max_size=40))
@settings(deadline=None, max_examples=40)
def test_every_point_of_a_logarithmic_curve_lies_inside_its_drawing(points: list[tuple[float, float]]) -> None:
    curve = Curve("norm", sorted(points), "strong", dots=True)
    svg = drawn(curve_chart([curve], width=300, height=200, x_label="step", y_label="norm", logarithmic=True))
    assert all(top >= 20 and bottom <= 170 for _, top, _, bottom in shapes(svg, "curve"))


@pytest.mark.parametrize("points", [[], [(1.0, math.nan)], [(1.0, math.inf)]])
def test_a_chart_without_points_or_with_infinite_ones_is_refused(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="finite"):
        curve_chart([Curve("loss", points, "strong")], width=300, height=200, x_label="step", y_label="nats")


def test_bars_are_proportional_and_small_ones_stay_visible() -> None:
    bars = [Bar("a", 100, "100"), Bar("b", 50, "50"), Bar("c", 0.001, "0.001"), Bar("d", 0, "0")]
    svg = drawn(bar_chart(bars, width=500, label_width=60))
    full, half, tiny, none = (right - left for left, _, right, _ in shapes(svg, "bar"))
    assert math.isclose(half, full / 2, abs_tol=0.11) and 1 <= tiny <= 2 and none == 0


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("label", ["train", "a rule with a name that is too long to fit", "double pages, precision", "日本語の本、四冊"])
def test_labels_and_numbers_of_bars_stay_inside_at_both_widths(width: float, label: str) -> None:
    figure = bars_figure("Characters", [Bar(label, 1_421_384, "1,421,384", "12,525 places"), Bar("x", 1, "1")])
    svg = drawn(figure.wide if width == WIDE else figure.narrow)
    assert len(list(svg.iter("text"))) == 5
    for element in svg.iter("text"):
        x, length = float(element.attrib["x"]), 7 * letters("".join(element.itertext()))
        start, end = (x - length, x) if "text-anchor: end" in element.attrib["style"] else (x, x + length)
        assert start >= 0 and end <= width


def test_a_share_is_within_its_whiskers() -> None:
    svg = drawn(share_chart([Share("held out", 0.93, 0.87, 0.96, "93 %")], width=500, label_width=80))
    ((dot_left, _, dot_right, _),) = shapes(svg, "dot")
    ((left, _, right, _),) = shapes(svg, "whisker")
    assert left < (dot_left + dot_right) / 2 < right
    assert re.search("93 %", svg.attrib["aria-label"])


levels = st.lists(st.tuples(st.integers(0, 10**9), st.text("abc ,", max_size=120)), min_size=1, max_size=7)


@given(levels, st.sampled_from([NARROW, WIDE]))
@settings(deadline=None, max_examples=40)
def test_a_funnel_s_bars_are_proportional_and_everything_drawn_is_inside(found: list[tuple[int, str]], width: float) -> None:
    steps = [Level(f"step {number}", value, f"{value:,}", reasons) for number, (value, reasons) in enumerate(found)]
    svg = drawn(funnel_chart(steps, width=width, description="Characters"))
    bars = [(top, left, right - left) for left, top, right, _ in shapes(svg, "bar")]
    height = float(svg.attrib["viewBox"].split()[3])
    most = max(value for value, _ in found) or 1
    full = max(length for _, _, length in bars)
    for (y, x, length), (value, _) in zip(bars, found, strict=True):
        assert length == pytest.approx(max(full * value / most, 1.5 if value else 0), abs=0.2) or full <= 1.6
        assert y + 20 <= height + 0.11 and x + length <= width
    assert all(above + 20 <= below for (above, _, _), (below, _, _) in pairwise(bars)), "no bar covers another"
    assert all(float(text.attrib["y"]) <= height for text in svg.iter("text"))


def test_a_funnel_says_what_was_removed_between_two_bars_and_in_its_label() -> None:
    steps = [Level("read", 100, "100"), Level("cleaned", 90, "90", "−10: 7 stubs, 3 blanks")]
    svg = drawn(funnel_chart(steps, width=WIDE, description="Documents"))
    (first, second) = (top for _, top, _, _ in shapes(svg, "bar"))
    (reason,) = (text for text in svg.iter("text") if text.text == "−10: 7 stubs, 3 blanks")
    assert first + 20 < float(reason.attrib["y"]) < second
    assert svg.attrib["aria-label"] == "Documents: read 100, cleaned 90 (−10: 7 stubs, 3 blanks)"


@pytest.mark.parametrize("number", [2, 5, 9])
@pytest.mark.parametrize("length", [4, 26, 200])
def test_a_legend_of_many_or_long_names_stays_within_its_figure(number: int, length: int) -> None:
    curves = [Curve(f"{index}".ljust(length, "n"), [(0, 1.0), (5, 2.0)], "strong") for index in range(number)]
    svg = drawn(curve_chart(curves, width=360, height=200, x_label="step", y_label="nats"))
    names = [text for text in svg.iter("text") if (text.text or "")[1:2] in ("n", "…")]
    assert len(names) == number and len(shapes(svg, "curve")) == number
    assert all(0 <= float(name.attrib["x"]) <= 360 and float(name.attrib["y"]) >= 0 for name in names)
    assert len({(name.attrib["x"], name.attrib["y"]) for name in names}) == number


def titles(svg: ElementTree.Element, kind: str) -> list[str]:
    """What the shapes of a kind say under the pointer, in the order in which they are drawn."""
    return [element.findtext("title", "") for element in svg.iter() if element.get("class", "").split(" ")[0] == kind]


def test_every_bar_share_and_level_says_its_value_under_the_pointer() -> None:
    bars = [Bar(HOSTILE, 2, "2 books", "half"), Bar("none", 0, "0")]
    assert titles(drawn(bar_chart(bars, width=500, label_width=60)), "bar")[1] == "none: 0"
    assert "<script>alert(1)</script>" in titles(drawn(bar_chart(bars, width=500, label_width=60)), "bar")[0]
    shares = [Share("one", 0.5, 0.4, 0.6, "50 %"), Share("two", 1, 1, 1, "100 %")]
    said = ["one: 50 %, from 40.0 to 60.0 %", "two: 100 %, from 100.0 to 100.0 %"]
    svg = drawn(share_chart(shares, width=500, label_width=60))
    assert titles(svg, "dot") == titles(svg, "whisker") == said
    levels = [Level("read", 9, "9"), Level("left", 0, "0", "9 empty")]
    assert titles(drawn(funnel_chart(levels, width=WIDE, description="Books")), "bar") == ["read: 9", "left: 0; 9 empty"]
    points = [Point("small", 1, 0.5), Point("large", 2, 0.25)]
    scattered = drawn(scatter_chart(points, width=WIDE, height=200, x_label="MB", y_label="nats", least=1e-6))
    assert titles(scattered, "curve") == ["small: MB 1; nats 0.5", "large: MB 2; nats 0.25"]


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=300, unique=True), st.sampled_from([NARROW, WIDE]))
@settings(deadline=None, max_examples=40)
def test_wherever_the_pointer_is_in_a_curve_it_says_values_that_the_curve_has(steps: list[int], width: float) -> None:
    points = [(float(step), step / 7) for step in sorted(steps)]
    svg = drawn(curve_chart([Curve("loss", points, "strong")], width=width, height=200, x_label="step", y_label="nats"))
    strips = [element for element in svg.iter("rect") if element.get("class") == "hover"]
    ends = [(float(strip.attrib["x"]), float(strip.attrib["x"]) + float(strip.attrib["width"])) for strip in strips]
    assert all(end == pytest.approx(start, abs=0.02) for (_, end), (start, _) in pairwise(ends))
    assert ends[-1][1] == pytest.approx(width - 14)
    known = {f"step {step:g}, nats\nloss: {value:.4g}" for step, value in points}
    assert {strip.findtext("title", "") for strip in strips} <= known
    assert len(strips) == min(len(points), int((ends[-1][1] - ends[0][0]) / 16))


def test_a_curve_that_ends_early_or_has_few_points_says_where_its_value_is_from() -> None:
    curves = [Curve("train", [(step, 1.0) for step in range(11)], "strong"), Curve("validation", [(0, 3.0), (6, 2.0)], "other")]
    svg = drawn(curve_chart(curves, width=WIDE, height=200, x_label="step", y_label="nats"))
    said = [element.findtext("title", "") for element in svg.iter("rect")]
    assert said[6] == "step 6, nats\ntrain: 1\nvalidation: 2"
    assert said[4] == "step 4, nats\ntrain: 1\nvalidation: 2 at 6" and said[9] == "step 9, nats\ntrain: 1"
