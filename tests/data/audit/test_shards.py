"""The audit has the same bytes however documents are dealt to shards, and the steps on single shards leave no text for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.audit.config import AuditConfig
from data.documents.rows import DOCUMENTS, LEDGER, QUARANTINE, write_rows
from data.documents.sharding import SHARD_DOCUMENTS
from data.documents.words import spans
from data.shards.names import SPLITS
from tests.data.audit.sharded import audit_shards
from tests.data.audit.stages import Row, Texts, ingest_rows, ledger_row, row, through, write_stage
from tests.data.dedup.books import bytes_of, prose

LIMITS: dict[str, Any] = {"threads": 1, "memory": "500MB"}
CONFIG = AuditConfig(words=6, worst=5, excerpt=80)
NAMES = tuple(f"d{number:02}" for number in range(16))
SPLIT_OF = {name: SPLITS[(0, 0, 1, 2)[number % 4]] for number, name in enumerate(NAMES)}
MODES = ("fractions", "passages", "all_train")
Placed = Callable[[str], int]


def _texts() -> Texts:
    """Return documents each of which quotes others of every split, two of equal words and one that is empty."""
    own = {name: prose(number, 1) for number, name in enumerate(NAMES)}
    quoted = {name: [own[NAMES[(number + step) % len(NAMES)]] for step in (1, 6, 7)] for number, name in enumerate(NAMES)}
    texts = {
        name: "\n\n".join([own[name], *(_first_words(text, 9 + number) for text in quoted[name])]) for number, name in enumerate(NAMES)
    }
    return texts | {NAMES[4]: "The same words.", NAMES[6]: "The same words.", NAMES[9]: ""}


def _first_words(text: str, count: int) -> str:
    return text[: spans(text)[count][1]]


def _documents(texts: Texts) -> list[Row]:
    """Return the rows of documents of two sources and formats, some with a wrong title, one by a machine."""
    found = []
    for number, name in enumerate(name for name in NAMES if name in texts):
        metadata = {"path": f"{name}.txt", "format": ("txt", "html")[number % 2], "title_mismatch": number % 3 == 0}
        found.append(row(name, texts[name], json.dumps(metadata), source="st"[number % 2], synthetic=name == NAMES[0]))
    return found


def _split(document: Row, mode: str) -> dict[str, Row]:
    """Return the row of each split that holds a document, or a part of it."""
    text = document["text"]
    if mode == "passages":
        cuts = [0, len(text) // 2, len(text) * 3 // 4, len(text)]
        return {part: {**document, "text": text[cuts[n] : cuts[n + 1]]} for n, part in enumerate(SPLITS)}
    if mode == "all_train":
        return {part: document for part in SPLITS if part == "train" or not document["synthetic"]}
    return {SPLIT_OF[document["id"]]: document}


def _corpus(folder: Path, mode: str, shards: int, placed: Placed) -> dict[str, list[Path]]:
    """Write every stage of the corpus with each document in the shard where it is placed; return their folders."""
    texts = _texts()
    stages = {"ingest": write_stage(folder / "ingest", shards, _documents(texts), ingest_rows(texts), placed)}
    for number, place in enumerate(stages["ingest"]):
        aside = [{"source": "s", "path": f"{name}.bin", "reason": "no text"} for name in NAMES[:7] if placed(name) == number]
        write_rows(place / "quarantine.parquet", QUARANTINE, aside)
    texts, ledger = through("clean", texts, [("kept", 3)] * 10 + [("removed", 0)] + [("kept", -4)] * 5)
    stages["clean"] = write_stage(folder / "clean", shards, _documents(texts), ledger, placed)
    texts, ledger = through("dedup", texts, [("duplicate", 0), *[("kept", 0)] * 14])
    stages["dedup"] = [folder / "dedup"]
    for number in range(shards):
        here = [one for one in _documents(texts) if placed(one["id"]) == number]
        (folder / "dedup" / SHARD_DOCUMENTS).parent.mkdir(parents=True, exist_ok=True)
        write_rows(folder / "dedup" / SHARD_DOCUMENTS.format(number), DOCUMENTS, here)
    write_rows(folder / "dedup" / "ledger.parquet", LEDGER, ledger)
    rule = "passages" if mode == "passages" else "kept"
    ledger = [ledger_row(name, "split", "kept", rule, len(text), 0) for name, text in texts.items()]
    stages["split"] = write_stage(folder / "split", shards, [], ledger, placed)
    for number, place in enumerate(stages["split"]):
        parts = [_split(one, mode) for one in _documents(texts) if placed(one["id"]) == number]
        for part in SPLITS:
            write_rows(place / f"{part}.parquet", DOCUMENTS, [held[part] for held in parts if part in held])
    return stages


def _audited(folder: Path, mode: str, shards: int, placed: Placed) -> tuple[dict[str, float], dict[str, str]]:
    """Return the metrics and the digests of the files of the corpus's audit."""
    stages = _corpus(folder, mode, shards, placed)
    metrics = audit_shards(stages, stages["split"], folder / "audit", CONFIG, **LIMITS, scratch=folder / "scratch")
    return metrics, bytes_of(folder / "audit")


@pytest.fixture(scope="module")
def undivided(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, float], dict[str, str]]]:
    """The audit of the corpus in one shard, by how it is split."""
    return {mode: _audited(tmp_path_factory.mktemp(mode), mode, 1, lambda name: 0) for mode in MODES}


def test_the_corpus_leaks_in_every_direction_and_is_accounted_for(undivided: dict[str, tuple[dict[str, float], dict[str, str]]]) -> None:
    for metrics, files in undivided.values():
        assert metrics["balanced"] == 1 and metrics["quarantined_files"] == 7 and metrics["title_mismatches"] == 6
        assert min(metrics[name] for name in ("leak_val", "leak_test", "leak_test_val")) > 0
        assert set(files) == {"funnel.json", "leaks.parquet", "leaked_documents.parquet"}


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(MODES), st.lists(st.integers(0, 3), min_size=len(NAMES), max_size=len(NAMES)))
def test_the_audit_is_the_same_however_documents_are_dealt_to_shards(
    undivided: dict[str, tuple[dict[str, float], dict[str, str]]], tmp_path_factory: pytest.TempPathFactory, mode: str, places: list[int]
) -> None:
    dealt = dict(zip(NAMES, places, strict=True))
    assert _audited(tmp_path_factory.mktemp("dealt"), mode, 4, dealt.__getitem__) == undivided[mode]


def test_what_the_audit_reads_of_a_shard_has_no_words_of_a_text_but_titles(tmp_path: Path) -> None:
    _audited(tmp_path, "fractions", 2, lambda name: int(name[1:]) % 2)
    longest = {
        f"{path.parent.parent.name} {column}": max((len(value) for value in table[column].to_pylist() if isinstance(value, str)), default=0)
        for path in (tmp_path / "audit-steps").glob("*/*/*.parquet")
        for table in [pq.read_table(path)]
        for column in table.column_names
    }
    assert {"surveyed title", "surveyed gram", "overlaps gram"} <= set(longest) and max(longest.values()) <= len(NAMES[0]) + len(".txt")
