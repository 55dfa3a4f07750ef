"""The lineage of a run as a drawing: every artifact, and what each was made from; reused ones are lighter."""

from __future__ import annotations

from collections.abc import Mapping, Set

from markupsafe import Markup

from tasks.reporting.layers import Item, Layout, arrange
from tasks.reporting.svg import drawing, tag, text
from tasks.stage.artifact import Artifact, Input

WIDTH, BOX, HEIGHT, LANE, GAP, MARGIN = 1080.0, 68.0, 50.0, 4.0, 13.0, 2.0
SHORT = 7


def edges_of(artifacts: Mapping[str, Artifact]) -> list[tuple[str, str]]:
    """(maker, reader) places, each pair once, in the flow's order. What the run did not hold goes by its location."""
    found: dict[tuple[str, str], None] = {}
    for place, artifact in artifacts.items():
        for given in artifact.inputs.values():
            found[(maker(given, artifacts) or given.location, place)] = None
    return list(found)


def maker(given: Input, artifacts: Mapping[str, Artifact]) -> str | None:
    """The place that made an input: the same execution, or (after an early cut-off) the one that gave the same bytes."""
    same_key = (place for place, artifact in artifacts.items() if artifact.key == given.key)
    same_bytes = (place for place, artifact in artifacts.items() if artifact.stage == given.stage and _holds(artifact, given))
    return next(same_key, None) or next(same_bytes, None)


def _holds(artifact: Artifact, given: Input) -> bool:
    if not given.part:
        return artifact.digest == given.digest
    try:
        return artifact.part(given.part).digest == given.digest
    except KeyError:
        return False


def draw_lineage(artifacts: Mapping[str, Artifact], reused: Set[str]) -> Markup:
    """Boxes from left to right; each leads to its row in the table of stages and shows its whole digest when pointed at."""
    edges = edges_of(artifacts)
    strangers = dict.fromkeys(source for source, _ in edges if source not in artifacts)
    layout = arrange([*strangers, *artifacts], edges, node=HEIGHT, lane=LANE, gap=GAP)
    pitch = min(130.0, (WIDTH - BOX - 2 * MARGIN) / max(len(layout.columns) - 1, 1))
    width = BOX + 2 * MARGIN + pitch * (len(layout.columns) - 1)
    parts = [_link(layout, start, end, pitch) for start, end in layout.links]
    parts += [_lane(layout, item, pitch) for column in layout.columns for item in column if layout.is_lane(item)]
    for column in layout.columns:
        for item in column:
            if not layout.is_lane(item):
                parts.append(_box(item, layout.y[item], pitch, artifacts.get(item[0]), item[0] in reused))
    return drawing(width, layout.height + 2 * MARGIN, f"lineage of {len(artifacts)} artifacts", parts)


def _left(item: Item, pitch: float) -> float:
    return MARGIN + item[1] * pitch


def _link(layout: Layout, start: Item, end: Item, pitch: float) -> Markup:
    x1, y1 = _left(start, pitch) + BOX, layout.y[start] + MARGIN
    x2, y2 = _left(end, pitch), layout.y[end] + MARGIN
    half = (x2 - x1) * 0.6
    return tag("path", d=f"M{x1:.1f},{y1:.1f} C{x1 + half:.1f},{y1:.1f} {x2 - half:.1f},{y2:.1f} {x2:.1f},{y2:.1f}", class_="edge")


def _lane(layout: Layout, item: Item, pitch: float) -> Markup:
    x, y = _left(item, pitch), layout.y[item] + MARGIN
    return tag("path", d=f"M{x:.1f},{y:.1f} H{x + BOX:.1f}", class_="edge")


def _box(item: Item, centre: float, pitch: float, artifact: Artifact | None, is_reused: bool) -> Markup:
    x, y = _left(item, pitch), centre + MARGIN - HEIGHT / 2
    tone = "elsewhere" if artifact is None else "reused" if is_reused else "made"
    stage, _, where = item[0].rpartition("/")[0 if artifact is None else 2].partition(".")
    middle = x + BOX / 2
    lines = [(stage, "place"), *([(where, "place")] if where else [])]
    lines.append((item[0].rpartition("-")[2][:SHORT] if artifact is None else artifact.digest[:SHORT], "digest"))
    first = y + HEIGHT / 2 + 4 - 7 * (len(lines) - 1)
    title = f"{item[0]}: made outside of this run" if artifact is None else f"{artifact.location}, digest {artifact.digest}, {tone}"
    shape = tag("rect", x=x, y=y, width=BOX, height=HEIGHT, rx=5, class_="box")
    content = [tag("title", title), shape, *(text(middle, first + 14 * n, words, kind, "middle") for n, (words, kind) in enumerate(lines))]
    group = tag("g", *content, class_=f"node {tone}")
    return group if artifact is None else tag("a", group, href=f"#stage-{item[0]}")
