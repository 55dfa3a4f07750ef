"""A lineage as a drawing: boxes from left to right, the shards of a stage in one of them; what was reused is lighter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from tasks.lineage.graph import ProvenanceGraph, without_shard
from tasks.lineage.tree import TreeLine, fold_shards
from tasks.reporting.layers import Item, Layout, arrange
from tasks.reporting.svg import drawing, tag, text
from tasks.stage.store.artifact import Artifact, InputRecord

WIDTH, BOX, HEIGHT, LANE, GAP, MARGIN = 1080.0, 68.0, 50.0, 4.0, 13.0, 2.0
SHORT = 7


@dataclass(frozen=True)
class Box:
    """One box: what stands in it, what it shows when pointed at, and where it leads. `tone`: made, reused or elsewhere."""

    name: str
    words: tuple[str, ...]
    small: str
    title: str
    tone: str = "made"
    href: str = ""


def draw_run(artifacts: Mapping[str, Artifact], reused: frozenset[str]) -> Markup:
    """The lineage of a run; each box leads to its row in the table of stages and shows its whole digest when pointed at."""
    edges = edges_of(artifacts)
    strangers = dict.fromkeys(source for source, _ in edges if source not in artifacts)
    boxes = [_stranger(location) for location in strangers]
    together: dict[str, list[str]] = {}
    for place in artifacts:
        together.setdefault(without_shard(place), []).append(place)
    for base, places in together.items():
        held = [artifacts[place] for place in places]
        tone = "reused" if reused.issuperset(places) else "made"
        title = f"{base}, {len(held)} shards, {tone}" if len(held) > 1 else f"{held[0].location}, digest {held[0].digest}, {tone}"
        small = f"× {len(held)}" if len(held) > 1 else held[0].digest[:SHORT]
        boxes.append(Box(base, tuple(base.split(".", 1)), small, title, tone, f"#stage-{base}"))
    folded = dict.fromkeys((without_shard(source) if source in artifacts else source, without_shard(target)) for source, target in edges)
    return draw(boxes, list(folded), f"lineage of {len(artifacts)} artifacts")


def draw_graph(graph: ProvenanceGraph, artifacts: Iterable[Artifact], *, forward: bool, unfold: bool) -> Markup:
    """The lineage of anything in a store; inputs that are gone are dashed."""
    held = list(artifacts)
    boxes: list[Box] = []
    of_key: dict[str, str] = {}
    for number, line in enumerate(fold_shards("", reversed(held), unfold)):
        of_key |= dict.fromkeys(line.keys, str(number))
        boxes.append(_held(str(number), line))
    for lost in [] if forward else graph.missing_inputs(held):
        of_key[lost.key] = lost.location
        boxes.append(_stranger(lost.location))
    edges = dict.fromkeys(
        (of_key[given.key], of_key[artifact.key]) for artifact in held for given in artifact.inputs.values() if given.key in of_key
    )
    return draw(boxes, list(edges), f"lineage of {len(held)} artifacts")


def standing_alone(drawn: Markup) -> str:
    """A drawing as an SVG file of its own, in the colours of the report's page, light and dark."""
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    body = str(drawn).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    start = body.index(">") + 1
    return f"{body[:start]}<style><![CDATA[{style}svg {{ background: var(--paper); }}]]></style>{body[start:]}\n"


def _held(name: str, line: TreeLine) -> Box:
    first, count = line.artifacts[0], len(line.artifacts)
    recipe, _, where = first.label.partition("-")
    words = (first.stage, where) if where and count == 1 and not first.ingredients.get("shard") else (first.stage,)
    title = f"{count} shards of {recipe}" if count > 1 else f"{first.location}, digest {first.digest}"
    return Box(name, words, f"× {count}" if count > 1 else first.digest[:SHORT], title)


def _stranger(location: str) -> Box:
    stage, _, rest = location.partition("/")
    return Box(location, (stage,), rest.rpartition("-")[2][:SHORT], f"{location}: its record is not here", "elsewhere")


def edges_of(artifacts: Mapping[str, Artifact]) -> list[tuple[str, str]]:
    """(maker, reader) places, each pair once, in the flow's order. What the run did not hold goes by its location."""
    found: dict[tuple[str, str], None] = {}
    for place, artifact in artifacts.items():
        for given in artifact.inputs.values():
            found[(maker(given, artifacts) or given.location, place)] = None
    return list(found)


def maker(given: InputRecord, artifacts: Mapping[str, Artifact]) -> str | None:
    """The place that made an input: the same execution, or (after an early cut-off) the one that gave the same bytes."""
    same_key = (place for place, artifact in artifacts.items() if artifact.key == given.key)
    same_bytes = (place for place, artifact in artifacts.items() if artifact.stage == given.stage and _holds(artifact, given))
    return next(same_key, None) or next(same_bytes, None)


def _holds(artifact: Artifact, given: InputRecord) -> bool:
    if not given.part:
        return artifact.digest == given.digest
    try:
        return artifact.part(given.part).digest == given.digest
    except KeyError:
        return False


def draw(boxes: Sequence[Box], edges: Sequence[tuple[str, str]], label: str) -> Markup:
    """Boxes in columns by what they depend on, with a line for each edge between their names."""
    by_name = {box.name: box for box in boxes}
    layout = arrange(list(by_name), edges, node=HEIGHT, lane=LANE, gap=GAP)
    pitch = min(130.0, (WIDTH - BOX - 2 * MARGIN) / max(len(layout.columns) - 1, 1))
    width = BOX + 2 * MARGIN + pitch * (len(layout.columns) - 1)
    parts = [_link(layout, start, end, pitch) for start, end in layout.links]
    parts += [_lane(layout, item, pitch) for column in layout.columns for item in column if layout.is_lane(item)]
    items = [item for column in layout.columns for item in column if not layout.is_lane(item)]
    parts += [_box(by_name[item[0]], _left(item, pitch), layout.y[item] + MARGIN - HEIGHT / 2) for item in items]
    return drawing(width, layout.height + 2 * MARGIN, label, parts)


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


def _box(box: Box, x: float, y: float) -> Markup:
    lines = [*((words, "place") for words in box.words), (box.small, "digest")]
    first = y + HEIGHT / 2 + 4 - 7 * (len(lines) - 1)
    shape = tag("rect", x=x, y=y, width=BOX, height=HEIGHT, rx=5, class_="box")
    written = (text(x + BOX / 2, first + 14 * n, words, kind, "middle") for n, (words, kind) in enumerate(lines))
    group = tag("g", tag("title", box.title), shape, *written, class_=f"node {box.tone}")
    return tag("a", group, href=box.href) if box.href else group
