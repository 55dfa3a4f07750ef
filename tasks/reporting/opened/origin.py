"""The open model that a run started from: where it is from, its terms, its sizes, and the digests of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.summary import RunSummary
from tasks.reporting.wording import count

FILE = "origin.json"


def origin_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the section from the first position's origin.json."""
    results, position = run.results, next(iter(positions))
    artifact, metrics = results.artifacts[position], results.metrics(position)
    origin = json.loads((results.folder(artifact) / FILE).read_text(encoding="utf-8"))
    facts = {
        "model": origin["name"],
        "from": {"hub": "a hub", "folder": "a folder", "gguf": "a GGUF file"}.get(origin["kind"], origin["kind"]),
        "revision": origin["revision"],
        "licence": origin["licence"],
        "parameters": count(metrics["parameters"]),
        "vocabulary": f"{count(metrics['vocab_size'])} tokens",
        "context": f"{count(metrics['context'])} tokens",
        "chat template": "its own" if metrics["own_template"] else "a plain one, since the model has none",
    }
    rows = tuple(Row((name, value)) for name, value in facts.items() if value)
    files = tuple(Row((name, digest)) for name, digest in origin["sha256"].items())
    lead = f"It was made from {origin['name']}, which others trained; that model's licence ({origin['licence']}) applies to it."
    tables = (Table("The model", ("", ""), rows), Table("Its files, by sha256", ("file", "sha256"), files, code=frozenset({0, 1})))
    return Section("origin", "The model it started from", lead, tables=tables)


ORIGIN = Topic("the model it started from", 35, origin_section)
