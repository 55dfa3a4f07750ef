"""What the model wrote while it learned, decoded: a row for each time that samples were taken."""

from __future__ import annotations

import numpy as np

from data.tokens.encoder import TextEncoder
from tasks.reporting.evidence import Evidence
from tasks.reporting.parts import Row, Table

FILE, SHOWN, LONGEST = "logs/samples.jsonl", 8, 240
CAPTIONS = {"pretrain": "What it wrote while it was pretrained", "sft": "What it wrote while it was tuned"}


def sample_table(evidence: Evidence, place: str) -> Table | None:
    """The first prompt's continuation through training, evenly thinned out; None when no samples were taken."""
    artifact = evidence.artifacts[place]
    fitted = evidence.artifacts.get("tokenizer")
    if place not in CAPTIONS or fitted is None or not any(file.path == FILE for file in artifact.files):
        return None
    lines = evidence.lines(place, FILE)
    last = len(lines) - 1
    chosen = sorted({round(number * last / (SHOWN - 1)) for number in range(SHOWN)}) if last >= SHOWN else range(len(lines))
    encoder = TextEncoder(evidence.folder(fitted))

    def text(ids: list[int]) -> str:
        return encoder.decode(np.array(ids, dtype=np.int64))[:LONGEST]

    rows = tuple(Row((f"{lines[index]['step']:,}", text(lines[index]["continuations"][0]))) for index in chosen)
    given = text(lines[0]["prompts"][0])
    return Table(CAPTIONS[place], ("step", "text"), rows, right=frozenset({0}), note=f"Each goes on after: {given}", widths=(10, 90))
