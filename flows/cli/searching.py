"""Open the index of passages that a recipe's newest run made, and show what a question finds in it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from data.searching.index import Embed, Hit, PassageIndex, open_index
from flows.cli.snapshot import open_snapshot
from flows.cli.views.diff_rendering import printable
from flows.services.home import home
from tasks.corpus import index
from tasks.lineage.graph import StoreSnapshot
from tasks.release import vectors
from tasks.stage.store.artifact import Artifact, without_shard
from tasks.stage.store.journal import RunRecord
from tasks.stage.store.run_record import recipe_names
from tasks.stage.system.columns import wrapped
from tasks.stage.system.command_line import folio

MEMORY = "1GB"
SHOWN = 5  # passages that are offered to a prompt
INDENT = "   "


class Indexed(NamedTuple):
    """A run with the shards of its index, and those of its vectors; none if it has none."""

    run: RunRecord
    passages: list[Artifact]
    vectors: list[Artifact]


class RecipeDocuments:
    """The documents of a recipe, for answers with citations."""

    def __init__(self, opened: PassageIndex) -> None:
        self._opened = opened
        self.supports = opened.supports

    def retrieve(self, question: str) -> list[Hit]:
        """Return the passages that answer a question best, best first."""
        return self._opened.search(question, SHOWN)


def search_passages(recipe: str, question: str, most: int, *, by_words: bool = False, as_json: bool = False, store: str = "") -> str:
    """Return the passages that answer a question, best first, as text or JSON. Raises LookupError if no run of the recipe made an index."""
    with open_passages(recipe, store, by_words=by_words) as opened:
        hits = opened.search(question, most)
    if as_json:
        return json.dumps([asdict(hit) for hit in hits], indent=1, ensure_ascii=False)
    if not hits:
        return f"none of {len(opened):,} passages has a word of the question"
    lines: list[str] = []
    for number, hit in enumerate(hits, start=1):
        lines.append(printable(f"{number}. {hit.document}, characters {hit.start:,} to {hit.end:,}"))
        words = printable(" ".join(hit.text.split()))
        lines += wrapped(words, INDENT, INDENT)
    return "\n".join(lines)


@contextmanager
def open_passages(recipe: str, store: str = "", *, by_words: bool = False) -> Iterator[PassageIndex]:
    """Open the index of a recipe's newest run that has one, or of a run. Documents that its recipe has taken down since are left out."""
    if (Path(recipe) / "config.json").exists():
        raise LookupError(f"{recipe} is a model's folder, and documents are indexed by a recipe; name the recipe that it was made with.")
    snapshot = open_snapshot(store)
    found = find_index(snapshot, recipe)
    embed = _embedder(snapshot, found) if found.vectors and not by_words else None
    with open_index(
        [snapshot.store.local(artifact) for artifact in found.passages],
        vectors=[snapshot.store.local(artifact) for artifact in found.vectors] if embed else [],
        embed=embed,
        without=_taken_down(snapshot, found.run),
        threads=os.cpu_count() or 1,
        memory=MEMORY,
        scratch=home() / "scratch",
    ) as opened:
        yield opened


def find_index(snapshot: StoreSnapshot, recipe: str) -> Indexed:
    """Return the newest run that has the whole index of a recipe, or of a run by its id. Raises LookupError saying how to make one."""
    names = recipe_names(recipe)
    runs = [run for run in snapshot.journal.records() if run.is_of(names)]
    if not runs and (named := snapshot.journal.find(recipe)):
        runs = [named]
    for run in runs:
        made = _shards(snapshot, run, index.name)
        if made:
            return Indexed(run, made, _shards(snapshot, run, vectors.name))
    if not runs:
        raise LookupError(f"{recipe!r} never ran in {snapshot.store.url}; make its index with: {folio('run', recipe, '--set', 'index={}')}")
    again = folio("run", runs[0].argument or runs[0].recipe, "--set", "index={}")
    raise LookupError(
        f"no run of {runs[0].recipe} in {snapshot.store.url} has an index of passages that is still there; make one with: {again}"
    )


def _shards(snapshot: StoreSnapshot, run: RunRecord, stage: str) -> list[Artifact]:
    """Return the artifacts of all shards of a run's stage, in order; none unless all are in the store."""
    addresses = [made.address for position, made in run.positions.items() if without_shard(position) == stage]
    found = [snapshot.graph.by_address[address] for address in addresses if address in snapshot.graph.by_address]
    return sorted(found, key=lambda artifact: int(artifact.ingredients["shard"].split()[0])) if len(found) == len(addresses) else []


def _embedder(snapshot: StoreSnapshot, found: Indexed) -> Embed:
    """Return what makes the vector of a question: the model that made those of the passages."""
    from model.inference.embed import Embedder

    model, words = (_input(snapshot, found.vectors[0], name) for name in ("model", "tokenizer"))
    embedder, one = Embedder(model, words), Lock()
    settings = found.run.configuration["index"]["vectors"]

    def embed(question: str) -> list[float]:
        with one:
            vector: list[float] = embedder.vectors([f"{settings['question_prefix']}{question}"])[0].tolist()
            return vector

    return embed


def _input(snapshot: StoreSnapshot, artifact: Artifact, name: str) -> Path:
    """Return the folder that an artifact was made from. Raises LookupError if it is gone."""
    used = artifact.inputs[name]
    source = snapshot.graph.by_address.get(used.address)
    if source is None:
        raise LookupError(f"the {name} that made the vectors of {artifact.location} is gone; search by words alone with --words")
    return snapshot.store.local(source) / used.part


def _taken_down(snapshot: StoreSnapshot, run: RunRecord) -> list[str]:
    """Return the ids of documents that the newest run of the recipe leaves out, which an older index may still have."""
    newest = snapshot.journal.latest(run.recipe) or run
    return [one for record in (run, newest) for one in record.configuration["ingest"]["without"]]
