"""Artifacts: the stages of the store, what each made, one artifact with its files, and its lineage as a drawing that can be followed.

What an artifact was made from is found by following its inputs from record to record. What was made from it is known only to the records
of others, so that view reads the whole store, about 1.5 s for 10,000 artifacts, and only when it is asked for.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flows.page.rendering import SHOWN, Page, page_of, part_of, place
from tasks.lineage.graph import ProvenanceGraph
from tasks.reporting.lineage_drawing import draw_graph
from tasks.stage.identity.key import flatten
from tasks.stage.store.artifact import RECORD, Artifact, InputRecord
from tasks.stage.store.index import Damaged
from tasks.stage.store.store import Store
from tasks.stage.store.verdicts import find_approval

router = APIRouter(prefix="/artifacts")
FILES = 200  # files listed of one artifact
TEXT_BYTES = 1 << 18  # of a file that is shown
_sorted: dict[tuple[str, str], tuple[tuple[str, ...], list[str]]] = {}


class Input(NamedTuple):
    """An input of an artifact. `there`: whether its record is still in the store."""

    name: str
    source: InputRecord
    there: bool


@router.get("")
def stages(request: Request) -> Response:
    """List the stages and how many artifacts each has."""
    page = page_of(request)
    return page.show("stages.html.jinja", counts={name: len(page.store.index.locations(name)) for name in page.store.index.stages()})


@router.get("/{stage}")
def of_stage(request: Request, stage: str) -> Response:
    """List the artifacts of a stage."""
    page = page_of(request)
    wanted, locations = page.asked("name"), newest_first(page.store, _known(page.store, stage))
    if wanted:
        locations = [location for location in locations if wanted.casefold() in location.casefold()]
    skip = (page.number - 1) * SHOWN
    rows = list(page.store.index.records(locations[skip : skip + SHOWN]))
    damaged = [found for one in locations[skip : skip + SHOWN] if isinstance(found := page.store.index.read(one), Damaged)]
    part = part_of(rows, page.number, len(locations), name=wanted)
    return page.show("artifacts.html.jinja", stage=stage, part=part, damaged=damaged, name=wanted)


@router.get("/{stage}/{name}")
def one(request: Request, stage: str, name: str) -> Response:
    """Show an artifact: where it comes from, what it measured, its files, and what it was made from as a drawing."""
    page = page_of(request)
    made = artifact_at(page, stage, name)
    graph = ancestry(page.store, made)
    answer = find_approval(page.store, made) if made.stage == "gate" else None
    return page.show(
        "artifact.html.jinja",
        made=made,
        inputs=[Input(name, source, source.address in graph.by_address) for name, source in made.inputs.items()],
        settings={name.removeprefix("."): value for name, value in flatten(made.config, "").items()},
        files=made.files[:FILES],
        bytes=sum(file.size for file in made.files),
        answer=answer,
        run=made.origin.run_id if made.origin.run_id in page.runs.ids() else "",
        drawn=draw_graph(graph, graph.by_address.values(), forward=False, unfold=False, address=_address),
    )


@router.get("/{stage}/{name}/made")
def made_from(request: Request, stage: str, name: str) -> Response:
    """Draw what was made from an artifact, which reads every record of the store."""
    page = page_of(request)
    made = artifact_at(page, stage, name)
    # A store of its own, since the index of the page's would keep all that is read.
    graph = ProvenanceGraph.load(Store(page.store.url, page.store.cache))
    found = graph.descendants(made)
    drawn = draw_graph(graph, found, forward=True, unfold=False, address=_address)
    return page.show("made_from.html.jinja", made=made, drawn=drawn, counts=Counter(one.stage for one in found[1:]))


@router.get("/{stage}/{name}/files/{path:path}")
def file(request: Request, stage: str, name: str, path: str) -> Response:
    """Show a file of an artifact as text, if it is one."""
    page = page_of(request)
    made = artifact_at(page, stage, name)
    known = next((one for one in made.files if one.path == path), None)
    if known is None:
        raise LookupError(f"{made.location} has no file {path!r}.")
    with page.store.fs.open(f"{page.store.root}/{made.files_at}/{path}", "rb") as stream:
        content = stream.read(TEXT_BYTES)
    text = None if b"\0" in content else content.decode("utf-8", errors="replace")
    return page.show("file.html.jinja", made=made, file=known, text=text, whole=known.size <= TEXT_BYTES)


def artifact_at(page: Page, stage: str, name: str) -> Artifact:
    """Return the artifact of a stage by the name of its folder. Raise LookupError if there is none, or it can't be read."""
    location = f"{_known(page.store, stage)}/{name}"
    # The name is looked up, never joined to a path: it comes from whoever asks.
    found = page.store.index.read(location) if location in page.store.index.locations(stage) else None
    if isinstance(found, Damaged):
        raise LookupError(f"{location} is damaged: {'; '.join(found.problems)}. `folio verify` says more.")
    if found is None:
        raise LookupError(f"{page.store.url} has no artifact {location!r}; it may have been removed as garbage.")
    return found


def _known(store: Store, stage: str) -> str:
    if stage not in store.index.stages():
        raise LookupError(f"{store.url} has no stage {stage!r}; it has {', '.join(store.index.stages()) or 'none'}.")
    return stage


def newest_first(store: Store, stage: str) -> list[str]:
    """Return the artifact folders of a stage, by when their records were written; on an object store, which isn't asked, by name."""
    locations = store.index.locations(stage)
    if store.local_root is None:
        return list(locations)
    known = _sorted.get((store.url, stage))
    # A record is written once, so the order holds as long as the folders are the same.
    if known is None or known[0] != locations:
        root = store.local_root
        known = locations, sorted(locations, key=lambda location: _written(root / location / RECORD), reverse=True)
        _sorted[store.url, stage] = known
    return known[1]


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def ancestry(store: Store, made: Artifact) -> ProvenanceGraph:
    """Return an artifact and all that it was made from, itself first, by reading their records alone."""
    found: dict[str, Artifact] = {}
    queue = [made]
    while queue:
        current = queue.pop(0)
        if current.address in found:
            continue
        found[current.address] = current
        for source in current.inputs.values():
            record = store.index.read(source.location) if source.address not in found else None
            if isinstance(record, Artifact) and record.address == source.address:
                queue.append(record)
    return ProvenanceGraph(found)


def _address(made: Artifact) -> str:
    return place(made.location)
