"""Which reward model takes the best of several replies in `folio chat`: a folder, or the one that a release was made with."""

from __future__ import annotations

from pathlib import Path

from flows.cli.chat_models import lineage_of
from flows.services.home import home, store_url
from model.networks.directory import HEADS
from tasks.lineage.graph import ProvenanceGraph
from tasks.stage.execution.run_context import open_store

JUDGING = "reward"  # the kind of training that makes a judge


def judge_directory(directory: Path, named: str | None) -> Path:
    """Return the folder of a reward model: as given, or the one of that name, or the only one, that the model in `directory` was made with.

    Raises LookupError naming those there are.
    """
    if named is not None and (Path(named) / HEADS).is_file():
        return Path(named)
    location, store = lineage_of(directory)
    made: dict[str, Path] = {}
    if location is not None:
        opened = open_store(store or store_url(), Path.cwd(), home())
        graph = ProvenanceGraph.load(opened)
        released = [artifact for artifact in graph.by_address.values() if artifact.location == location]
        for artifact in graph.ancestors(*released):
            step = artifact.config["train"] if artifact.stage == "tune" else {}
            if step.get("kind") == JUDGING:
                made[step.get("name", JUDGING)] = opened.local(artifact)
    if named is None and len(made) == 1:
        return next(iter(made.values()))
    if named in made:
        return made[str(named)]
    there = f"it was made with {', '.join(sorted(made))}" if made else "it was made with none"
    asked = f"no reward model {named!r}" if named is not None else "not one reward model"
    raise LookupError(f"{directory} has {asked}: {there}; give --judge the name of one, or its folder.")
