"""The corpus of a run: which artifacts did what to its documents, stage by stage, in the order in which documents pass through them.

Guarantees: read from the store and its journal alone; a stage that the recipe leaves out is left out; a recipe that never ran, or never
came as far as is asked, is a LookupError that says what did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import IO, TypeVar

from tasks.lineage.holdings import CORPUS
from tasks.lineage.records import base_of
from tasks.lineage.things import Library
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import RunRecord

Answer = TypeVar("Answer")
AUDIT = "audit"


@dataclass(frozen=True)
class Chain:
    """The stages of a corpus in order, each with the artifacts of its shards, and its audit when there is one."""

    library: Library
    run: RunRecord
    stages: Mapping[str, tuple[Artifact, ...]]
    audit: Artifact | None

    @property
    def words(self) -> str:
        """The run for a person."""
        return f"{self.run.recipe}, run {self.run.id} of {self.run.started[:16].replace('T', ' ')} UTC ({self.run.status})"

    def ask(self, artifact: Artifact, file: str, question: Callable[[IO[bytes]], Answer]) -> Answer:
        """Ask a file of an artifact. Raises FileNotFoundError when it is gone."""
        with self.library.open(artifact, file) as stream:
            return question(stream)

    def before(self, stage: str) -> tuple[Artifact, ...]:
        """The artifacts whose documents came to a stage; none for the first."""
        names = list(self.stages)
        place = names.index(stage)
        return self.stages[names[place - 1]] if place else ()


def has(artifact: Artifact, file: str) -> bool:
    """Whether an artifact has a file of this path."""
    return any(known.path == file for known in artifact.files)


def chain_of(library: Library, recipe: str = "", stage: str = "ingest") -> Chain:
    """The corpus of the newest run that has a stage: of a recipe, or of the run that `recipe` names (an id, universe~1), or of any.

    Raises LookupError when there is none, naming the recipes that ran.
    """
    for chain in chains(library, recipe):
        if stage in chain.stages or (stage == AUDIT and chain.audit):
            return chain
    raise _none(library, recipe, stage)


def chains(library: Library, recipe: str = "") -> Iterator[Chain]:
    """The corpora of the runs of a recipe, or of the run that `recipe` names, or of all; the newest first, those without any left out."""
    for run in _runs(library, recipe):
        stages: dict[str, tuple[Artifact, ...]] = {}
        by_key, audit = library.graph.by_key, None
        for place, made in run.places.items():
            if made.key in by_key and made.stage in CORPUS:
                stages[made.stage] = (*stages.get(made.stage, ()), by_key[made.key])
            elif made.key in by_key and base_of(place) == AUDIT:
                audit = by_key[made.key]
        if stages:
            yield Chain(library, run, {name: stages[name] for name in CORPUS if name in stages}, audit)


def newest_of_each_recipe(library: Library) -> list[Chain]:
    """The corpus that each recipe made last."""
    found: dict[str, Chain] = {}
    for chain in chains(library):
        found.setdefault(chain.run.recipe, chain)
    return list(found.values())


def _runs(library: Library, recipe: str) -> Iterator[RunRecord]:
    records = list(library.journal.records())
    named = [run for run in records if recipe in ("", run.recipe)]
    if named or not recipe:
        yield from named
    elif run := library.journal.find(recipe):
        yield run


def _none(library: Library, recipe: str, stage: str) -> LookupError:
    ran = sorted({run.recipe for run in library.journal.records()})
    if not ran:
        return LookupError(
            f"{library.store.url} has no runs yet, so there is no corpus to tell of; make one with: folio run {recipe or 'universe'}"
        )
    if recipe in ran or not recipe:
        last = next(iter(_runs(library, recipe)))
        reached = ", ".join(dict.fromkeys(base_of(place) for place in last.places)) or "nothing"
        return LookupError(
            f"No run of {recipe or 'any recipe'} in {library.store.url} has a stage {stage} that is still there; "
            f"the newest, {last.id}, is {last.status} and has {reached}. Run it again with: folio run {last.recipe}"
        )
    near = get_close_matches(recipe, ran, 1)
    hint = f"; did you mean {near[0]}?" if near else "."
    return LookupError(f"The recipe {recipe!r} never ran in {library.store.url}{hint} These did: {', '.join(ran)}.")
