"""A small store with a sharded corpus: ingest and clean have an artifact per shard, later stages have one."""

from __future__ import annotations

from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store
from tests.tasks.records import committed


def commit_sharded_corpus(store: Store, count: int = 3, recipe: str = "toys", version: str = "") -> dict[str, Artifact]:
    """Commit ingest[k] -> clean[k] -> dedup -> train; return the artifacts by position."""
    made: dict[str, Artifact] = {}
    for number in range(count):
        shard = {"label": f"{recipe}-{number}", "name": f"{recipe}{number}{version}", "ingredients": {"shard": f"{number} of {count}"}}
        content = f"{recipe}{number}{version}".encode()
        made[f"ingest[{number}]"] = committed(store, {"books": content}, stage="ingest", **shard)
        inputs = {"documents": made[f"ingest[{number}]"].part("books").reference()}
        made[f"clean[{number}]"] = committed(store, {"text": content}, stage="clean", inputs=inputs, **shard)
    inputs = {f"documents[{n}]": made[f"clean[{n}]"].reference() for n in range(count)}
    one = {"label": recipe, "name": f"{recipe}{version}"}
    made["dedup"] = committed(store, {"kept": version.encode() or b"k"}, stage="dedup", inputs=inputs, **one)
    made["train"] = committed(store, {"model": version.encode() or b"m"}, stage="train", inputs={"words": made["dedup"].reference()}, **one)
    return made
