"""What a chat page opens with: what a model is, in one line, and a few questions that it can answer.

Questions are held-out ones that evaluation saw it answer rightly, else those that were made to ask it, else beginnings of its kind of text.
They come from the store that has the model's folder; a folder alone has its card.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from data.shards.model_folder import JSON_BYTES, read_bytes
from flows.cli.chat_models import lineage_of
from flows.services.home import home, store_url
from model.release.card import FACTS, ModelCard
from tasks.lineage.graph import ProvenanceGraph
from tasks.reporting.wording import plural, rough
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store, open_store

ANSWERED, ASKED, TEXTS = "answers_heldout.jsonl", "questions_heldout.jsonl", ("test.parquet", "val.parquet", "train.parquet")
MOST, LONGEST, WORDS, READ = 3, 160, 6, 200  # questions; characters of one; words of a beginning; rows that are looked at
MOST_FIGURES = 4


class Introduction(NamedTuple):
    """summary: what the model is, in a line. questions: what it can be asked, or beginnings that it can continue."""

    summary: str = ""
    questions: tuple[str, ...] = ()


def introduce(path: Path) -> Introduction:
    """Return the introduction of a model's folder or file; without what neither its card nor its store says."""
    folder = path.parent if path.is_file() else path
    card, parameters = next(filter(None, map(_card, (folder, folder.parent))), (None, 0))
    location, url = lineage_of(folder)
    questions: list[str] = []
    gates: list[tuple[str, str, str]] = []
    if location is not None:
        with suppress(LookupError, ValueError, OSError):
            store = open_store(url or store_url(), Path.cwd(), home())
            graph = ProvenanceGraph.load(store)
            made = next((one for one in graph.by_address.values() if one.location == location), None)
            if made is not None:
                for found in _questions(store, graph, made):
                    several = list(dict.fromkeys(found))
                    # Neighbours are often of one kind.
                    spread = [one for one in several[:: max(1, len(several) // MOST)] if one not in questions]
                    questions += spread[: MOST - len(questions)]
                gates = _gates(store, graph, made)
    if not questions and card is not None:
        questions = [words for role, words in card.conversation if role == "user" and _is_short(words)][:MOST]
    return Introduction("" if card is None else _summary(card, parameters, gates), tuple(questions))


def _card(folder: Path) -> tuple[ModelCard, int] | None:
    """Return the card that an export left, and the model's parameters; None without one, or where it is damaged."""
    try:
        found = json.loads(read_bytes(folder / FACTS, JSON_BYTES))
        return ModelCard.model_validate(found["card"]), int(found["facts"]["parameters"])
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _summary(card: ModelCard, parameters: int, gates: list[tuple[str, str, str]]) -> str:
    """Return name, size, data and the gate's figures in a line."""
    read = ", ".join(f"{plural(source.documents, 'document')} of {source.name}" for source in card.corpus[:MOST_FIGURES])
    more = len(card.corpus) - MOST_FIGURES
    told = [f"{card.name}: {card.summary.rstrip('.')}", f"{rough(parameters)} parameters"]
    told += [f"trained on {read}{f' and {more} more sources' if more > 0 else ''}"] if read else []
    shown = gates or [(metric, value, verdict) for metric, value, _, _, verdict in card.gates]
    figures = ", ".join(f"{metric} {value} {verdict}" for metric, value, verdict in shown[:MOST_FIGURES])
    return "; ".join(told) + (f"; gate: {figures}." if figures else ".")


def _gates(store: Store, graph: ProvenanceGraph, made: Artifact) -> list[tuple[str, str, str]]:
    """Return metric, value and verdict of the rows of the newest gate that judged a release."""
    gates = [one for one in graph.descendants(made) if one.stage == "gate"]
    rows = json.loads((store.local(gates[-1]) / "verdict.json").read_text(encoding="utf-8"))["rows"] if gates else []
    return [(row["metric"], row["value"], row["verdict"]) for row in rows]


def _questions(store: Store, graph: ProvenanceGraph, made: Artifact) -> Iterator[list[str]]:
    """Yield lists of questions, the surest to be answered first."""
    model = made.inputs.get("model")
    source = graph.by_address.get(model.address) if model is not None else None
    measured = [one for one in graph.descendants(*filter(None, (source, made))) if one.stage == "evaluate" and _has(one, ANSWERED)]
    before = graph.ancestors(made)
    for one in reversed(measured):
        yield [row["question"] for row in _rows(store, one, ANSWERED) if row.get("right") and _stands_alone(row)]
    for one in before:
        if _has(one, ASKED):
            yield [row["question"] for row in _rows(store, one, ASKED) if _stands_alone(row)]
    for name in TEXTS:
        for one in before:
            if one.stage == "split" and _has(one, name):
                yield list(_beginnings(store.local(one) / name))


def _beginnings(path: Path) -> Iterator[str]:
    """Yield the first words of some documents, at most half of one."""
    batch = next(pq.ParquetFile(path).iter_batches(READ, columns=["text"]), None)
    for text in batch.column("text").to_pylist() if batch is not None else ():
        words = str(text).split(maxsplit=2 * WORDS)
        if beginning := " ".join(words[: min(WORDS, (len(words) + 1) // 2)]):
            yield beginning[:LONGEST]


def _has(made: Artifact, name: str) -> bool:
    return any(file.path == name and file.size for file in made.files)


def _rows(store: Store, made: Artifact, name: str) -> Iterable[dict[str, Any]]:
    with (store.local(made) / name).open(encoding="utf-8") as stream:
        yield from (json.loads(line) for line in islice(stream, READ) if line.strip())


def _stands_alone(row: Mapping[str, Any]) -> bool:
    return not row.get("before") and _is_short(row["question"])


def _is_short(question: str) -> bool:
    return 0 < len(question.strip()) <= LONGEST and question.isprintable()
