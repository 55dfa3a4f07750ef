"""A lineage as a drawing: boxes from left to right, one for all shards of a stage; reused ones are paler.

Lay out a graph from left to right: networkx finds the columns, and sweeps over them an order in which few edges cross.

An edge that spans several columns passes each one between in a lane. All long edges of a node share its lanes, so a tokenizer that
seven stages read is one line with seven branches.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from markupsafe import Markup

from tasks.lineage.graph import ProvenanceGraph
from tasks.lineage.tree import TreeLine, fold_shards
from tasks.reporting.page_cache import cached
from tasks.reporting.svg import drawing, tag, text
from tasks.stage.store.artifact import Artifact, InputRecord, without_shard

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


WIDTH, BOX, HEIGHT, LANE, GAP, MARGIN = 1280.0, 66.0, 50.0, 4.0, 13.0, 2.0
SHORT = 7


@dataclass(frozen=True)
class Box:
    """One box: its lines, what it shows when pointed at, and where it links to. `tone`: made, reused or elsewhere."""

    name: str
    lines: tuple[str, ...]
    small: str
    title: str
    tone: str = "made"
    href: str = ""


def draw_run(artifacts: Mapping[str, Artifact], reused: frozenset[str]) -> Markup:
    """Draw the lineage of a run; each box links to its row in the table of stages and shows its whole digest when pointed at."""
    edges = edges_of(artifacts)
    elsewhere = dict.fromkeys(source for source, _ in edges if source not in artifacts)
    boxes = [_missing(location) for location in elsewhere]
    by_base: dict[str, list[str]] = {}
    for position in artifacts:
        by_base.setdefault(without_shard(position), []).append(position)
    for base, positions in by_base.items():
        first, shards = artifacts[positions[0]], len(positions)
        tone = "reused" if reused.issuperset(positions) else "made"
        title = f"{base}, {shards} shards, {tone}" if shards > 1 else f"{first.location}, digest {first.digest}, {tone}"
        small = f"× {shards}" if shards > 1 else first.digest[:SHORT]
        boxes.append(Box(base, tuple(base.split(".", 1)), small, title, tone, f"#stage-{base}"))
    folded = dict.fromkeys((without_shard(source) if source in artifacts else source, without_shard(target)) for source, target in edges)
    return cached(draw, boxes, list(folded), f"lineage of {len(artifacts)} artifacts")


def draw_graph(
    graph: ProvenanceGraph,
    artifacts: Iterable[Artifact],
    *,
    forward: bool,
    unfold: bool,
    address: Callable[[Artifact], str] | None = None,
) -> Markup:
    """Draw the lineage of anything in a store; inputs whose records are gone are dashed.

    address: where a box leads that stands for an artifact, or for shards of which it is the first; the drawing then holds no style.
    """
    drawn = list(artifacts)
    boxes: list[Box] = []
    of_address: dict[str, str] = {}
    for number, line in enumerate(fold_shards("", reversed(drawn), unfold)):
        of_address |= dict.fromkeys(line.addresses, str(number))
        boxes.append(_box_of(str(number), line, address(line.artifacts[0]) if address else ""))
    for missing in [] if forward else graph.missing_inputs(drawn):
        of_address[missing.address] = missing.location
        boxes.append(_missing(missing.location))
    edges = dict.fromkeys(
        (of_address[reference.address], of_address[artifact.address])
        for artifact in drawn
        for reference in artifact.inputs.values()
        if reference.address in of_address
    )
    return draw(boxes, list(edges), f"lineage of {len(drawn)} artifacts", styled=address is None)


def as_file(lineage: Markup) -> str:
    """Return a drawing as the content of an SVG file, in the colours of the page, light and dark."""
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    body = str(lineage).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    start = body.index(">") + 1
    return f"{body[:start]}<style><![CDATA[{style}svg {{ background: var(--paper); }}]]></style>{body[start:]}\n"


def _box_of(name: str, line: TreeLine, href: str = "") -> Box:
    first, count = line.artifacts[0], len(line.artifacts)
    recipe, _, where = first.label.partition("-")
    lines = (first.stage, where) if where and count == 1 and not first.ingredients.get("shard") else (first.stage,)
    title = f"{count} shards of {recipe}" if count > 1 else f"{first.location}, digest {first.digest}"
    return Box(name, lines, f"× {count}" if count > 1 else first.digest[:SHORT], title, href=href)


def _missing(location: str) -> Box:
    stage, _, rest = location.partition("/")
    return Box(location, (stage,), rest.rpartition("-")[2][:SHORT], f"{location}: its record is missing", "elsewhere")


def edges_of(artifacts: Mapping[str, Artifact]) -> list[tuple[str, str]]:
    """Return unique (maker, reader) positions in the flow's order; a maker outside the run is named by its location."""
    found: dict[tuple[str, str], None] = {}
    for position, artifact in artifacts.items():
        for reference in artifact.inputs.values():
            found[(maker(reference, artifacts) or reference.location, position)] = None
    return list(found)


def maker(reference: InputRecord, artifacts: Mapping[str, Artifact]) -> str | None:
    """Return the position that made an input: the same execution, or another of the same stage that made the same bytes."""
    same_address = (position for position, artifact in artifacts.items() if artifact.address == reference.address)
    same_bytes = (p for p, artifact in artifacts.items() if artifact.stage == reference.stage and _has_bytes(artifact, reference))
    return next(same_address, None) or next(same_bytes, None)


def _has_bytes(artifact: Artifact, reference: InputRecord) -> bool:
    if not reference.part:
        return artifact.digest == reference.digest
    try:
        return artifact.part(reference.part).digest == reference.digest
    except KeyError:
        return False


def draw(boxes: Sequence[Box], edges: Sequence[tuple[str, str]], label: str, *, styled: bool = True) -> Markup:
    """Draw boxes in columns by what they depend on, and a line for each edge between two names."""
    by_name = {box.name: box for box in boxes}
    layout = arrange(list(by_name), edges, node=HEIGHT, lane=LANE, gap=GAP)
    pitch = min(130.0, (WIDTH - BOX - 2 * MARGIN) / max(len(layout.columns) - 1, 1))
    width = BOX + 2 * MARGIN + pitch * (len(layout.columns) - 1)
    parts = [_link(layout, start, end, pitch) for start, end in layout.links]
    parts += [_lane(layout, item, pitch) for column in layout.columns for item in column if layout.is_lane(item)]
    items = [item for column in layout.columns for item in column if not layout.is_lane(item)]
    parts += [_box(by_name[item[0]], _left(item, pitch), layout.y[item] + MARGIN - HEIGHT / 2) for item in items]
    return drawing(width, layout.height + 2 * MARGIN, label, parts, styled=styled)


def _left(item: Item, pitch: float) -> float:
    return MARGIN + item[1] * pitch


def _link(layout: LineageLayout, start: Item, end: Item, pitch: float) -> Markup:
    x1, y1 = _left(start, pitch) + BOX, layout.y[start] + MARGIN
    x2, y2 = _left(end, pitch), layout.y[end] + MARGIN
    half = (x2 - x1) * 0.6
    return tag("path", d=f"M{x1:.1f},{y1:.1f} C{x1 + half:.1f},{y1:.1f} {x2 - half:.1f},{y2:.1f} {x2:.1f},{y2:.1f}", class_="edge")


def _lane(layout: LineageLayout, item: Item, pitch: float) -> Markup:
    x, y = _left(item, pitch), layout.y[item] + MARGIN
    return tag("path", d=f"M{x:.1f},{y:.1f} H{x + BOX:.1f}", class_="edge")


def _box(box: Box, x: float, y: float) -> Markup:
    lines = [*((line, "name") for line in box.lines), (box.small, "digest")]
    first = y + HEIGHT / 2 + 4 - 7 * (len(lines) - 1)
    shape = tag("rect", x=x, y=y, width=BOX, height=HEIGHT, rx=5, class_="box")
    written = (text(x + BOX / 2, first + 14 * n, line, kind, "middle") for n, (line, kind) in enumerate(lines))
    group = tag("g", tag("title", box.title), shape, *written, class_=f"node {box.tone}")
    return tag("a", group, href=box.href) if box.href else group
