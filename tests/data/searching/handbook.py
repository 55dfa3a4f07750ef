"""The handbook of an invented company: documents of known facts, each with questions and the answers that are true."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from data.documents.rows import DOCUMENTS
from data.documents.sharding import document_id

TOOLS = ("lathe", "kiln", "press", "loom", "crane", "furnace", "saw", "mixer", "drill", "pump", "boiler", "winch")
PLACES = ("Arlen", "Velden", "Miron", "Talsee", "Okaro", "Brenk", "Suvala", "Quent", "Ostrin", "Halm", "Perrow", "Lindau")
NAMES = ("Ada", "Bela", "Cora", "Dane", "Edda", "Falk", "Gesa", "Hiro", "Ines", "Jarl", "Kaia", "Lars")
COLOURS = ("red", "blue", "green", "amber", "violet", "grey", "white", "black", "teal", "ochre", "pink", "brown")


@dataclass(frozen=True)
class Fact:
    """A sentence of the handbook, a question about it, its true answer, and one that is false."""

    document: str
    sentence: str
    question: str
    answer: str
    wrong: str


def handbook(documents: int, facts: int = 5, seed: int = 0) -> tuple[dict[str, str], list[Fact]]:
    """Return {path: text} and the facts, `facts` in each document, of which no two ask the same."""
    random = Random(seed)
    texts: dict[str, str] = {}
    found: list[Fact] = []
    for number in range(documents):
        path, hall = f"hall_{number:03}.txt", f"hall {number + 1}"
        told: list[str] = []
        for tool in random.sample(TOOLS, facts):
            name, place, colour = (random.choice(of) for of in (NAMES, PLACES, COLOURS))
            days = random.randrange(2, 90)
            kind = random.randrange(3)
            asked, sentence, answer, wrong = (
                (f"Who looks after the {tool} of {hall}?", f"The {tool} of {hall} is looked after by {name} of {place}.",
                 f"{name} of {place} looks after it.", f"{name}son of {place} looks after it."),
                (f"How often is the {tool} of {hall} inspected?", f"The {tool} of {hall} is inspected every {days} days.",
                 f"It is inspected every {days} days.", f"It is inspected every {days + 7} days."),
                (f"What colour is the switch of the {tool} of {hall}?", f"The switch of the {tool} of {hall} is {colour}.",
                 f"The switch is {colour}.", f"The switch is {'silver' if colour != 'silver' else 'gold'}."),
            )[kind]  # fmt: skip
            told.append(sentence)
            found.append(Fact(path, sentence, asked, answer, wrong))
        texts[path] = f"Handbook of Ordane Works, {hall}.\n\n" + "\n\n".join(told) + "\n"
    return texts, found


def write_documents(path: Path, texts: dict[str, str], ids: Sequence[str] = ()) -> Path:
    """Write texts as a file of documents, by id; `ids`: only these."""
    rows = [
        {"id": document_id("handbook", name), "title": name, "source": "handbook", "text": text, "metadata": json.dumps({"path": name}),
         "synthetic": False}
        for name, text in texts.items()
    ]  # fmt: skip
    rows = sorted((row for row in rows if not ids or row["id"] in ids), key=lambda row: str(row["id"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS), path)
    return path
