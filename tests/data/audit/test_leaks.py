"""The leak report against plain Python: validation against train, test against both, document by document, the worst passage first."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from data.audit.config import AuditConfig
from data.documents.words import spans
from tests.data.audit.sharded import audit_shards
from tests.data.dedup.books import prose, write

Texts = dict[str, str]


def _report(folder: Path, parts: dict[str, Texts], config: AuditConfig, *, threads: int = 1, memory: str = "500MB") -> dict[str, float]:
    for part, texts in parts.items():
        write(folder / part, texts).rename(folder / f"{part}.parquet")
    limits = {"threads": threads, "memory": memory, "scratch": folder / "scratch"}
    found = audit_shards({}, [folder], folder / "audit", config, **limits)
    return {name: value for name, value in found.items() if name.startswith("leak_")}


def _rows(folder: Path, file: str) -> list[dict[str, object]]:
    return pq.read_table(folder / "audit" / file).to_pylist()


def _grams(text: str, size: int) -> list[tuple[str, ...]]:
    words = [text[start:end].lower() for start, end in spans(text)]
    return [tuple(words[k : k + size]) for k in range(len(words) - size + 1)]


def _quote(text: str, first: int, words: int) -> str:
    places = spans(text)
    return text[places[first][0] : places[first + words - 1][1]]


@pytest.fixture(scope="module")
def leaky() -> dict[str, Texts]:
    """Splits in which test quotes train and validation, and validation quotes train, each with another length."""
    random = Random(5)
    train = {f"t{k}": prose(k, paragraphs=3) for k in range(8)}
    val = {f"v{k}": f"{prose(100 + k, 1)}\n\n{_quote(train[f't{k}'], random.randrange(9), 6 + 6 * k)}" for k in range(5)}
    test = {
        f"x{k}": f"{prose(200 + k, 1)}\n\n{_quote(train[f't{k}'], 20, 5 * k + 1)} and so {_quote(val[f'v{k}'], 3, 13 + k).upper()}"
        for k in range(5)
    }
    return {"train": train, "val": val, "test": test}


@pytest.mark.parametrize("words", [8, 13])
def test_every_share_equals_that_of_plain_python(leaky: dict[str, Texts], words: int, tmp_path: Path) -> None:
    metrics = _report(tmp_path, leaky, AuditConfig(words=words))
    told = {(row["split"], row["id"]): row for row in _rows(tmp_path, "leaked_documents.parquet")}
    for part, other, name in (("val", "train", "leak_val"), ("test", "train", "leak_test"), ("test", "val", "leak_test_val")):
        seen = {gram for text in leaky[other].values() for gram in _grams(text, words)}
        leaked = {key: sum(gram in seen for gram in _grams(text, words)) for key, text in leaky[part].items()}
        grams = {key: len(_grams(text, words)) for key, text in leaky[part].items()}
        assert metrics[name] == pytest.approx(sum(leaked.values()) / sum(grams.values())) and metrics[name] > 0
        assert metrics[f"{name}_documents"] == sum(count > 0 for count in leaked.values())
        assert metrics[f"{name}_worst"] == pytest.approx(max(leaked[key] / grams[key] for key in leaked))
        assert {key: told[part, key][f"in_{other}"] for key in leaked if leaked[key]} == {k: v for k, v in leaked.items() if v}
        assert all(told[part, key]["ngrams"] == grams[key] for key in leaked if leaked[key])


def test_a_passage_names_the_other_document_and_the_longest_come_first(leaky: dict[str, Texts], tmp_path: Path) -> None:
    metrics = _report(tmp_path, leaky, AuditConfig(words=8, worst=3))
    rows = _rows(tmp_path, "leaks.parquet")
    for row in rows:
        part = "train" if row["train_id"] else "val"
        other = str(row["train_id"] or row["val_id"])
        assert bool(row["train_id"]) != bool(row["val_id"]) and row["other_title"] == f"Title {other}"
        assert str(row["text"]).lower() in leaky[part][other].lower()
        assert str(row["text"]) in leaky[str(row["split"])][str(row["id"])]
    for part, field, name in (("val", "train_id", "leak_val"), ("test", "train_id", "leak_test"), ("test", "val_id", "leak_test_val")):
        lengths = [int(str(row["words"])) for row in rows if row["split"] == part and row[field]]
        assert 0 < len(lengths) <= 3 and lengths == sorted(lengths, reverse=True)
        assert lengths[0] == metrics[f"{name}_longest"]


def test_threads_and_memory_change_no_byte(leaky: dict[str, Texts], tmp_path: Path) -> None:
    made = []
    for threads, memory in ((1, "200MB"), (3, "1GB")):
        _report(tmp_path / str(threads), leaky, AuditConfig(words=8), threads=threads, memory=memory)
        made.append([(tmp_path / str(threads) / "audit" / file).read_bytes() for file in ("leaks.parquet", "leaked_documents.parquet")])
    assert made[0] == made[1]


def test_without_a_common_passage_tables_are_empty_and_metrics_zero(tmp_path: Path) -> None:
    metrics = _report(tmp_path, {"train": {"a": prose(1)}, "val": {"b": prose(2)}, "test": {}}, AuditConfig())
    assert set(metrics.values()) == {0.0} and not _rows(tmp_path, "leaks.parquet") and not _rows(tmp_path, "leaked_documents.parquet")
