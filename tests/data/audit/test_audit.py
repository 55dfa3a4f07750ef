"""The audit against plain Python: which held-out words are in train, and where every document went."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from data.audit.config import AuditConfig
from data.cleaning.clean import clean
from data.cleaning.config import CleanConfig
from data.dedup.config import DedupConfig
from data.dedup.dedup import dedup
from data.documents.sharding import SHARD_DOCUMENTS
from data.documents.words import spans
from data.sources.config import FilesSource, IngestConfig
from data.sources.ingest import IngestInputs, ingest
from data.splits.config import SplitConfig
from tests.data.audit.sharded import audit_shards
from tests.data.dedup.books import edited, prose, write
from tests.data.splits.sharded import split_shards

KEPT = SHARD_DOCUMENTS.format(0)


def _splits(folder: Path, train: dict[str, str], val: dict[str, str], test: dict[str, str]) -> Path:
    for name, texts in (("train", train), ("val", val), ("test", test)):
        write(folder / name, texts).rename(folder / f"{name}.parquet")
    return folder


def _audit(folder: Path, splits: Path, ledgers: dict[str, Path], words: int = 13) -> tuple[dict[str, float], list[dict[str, object]]]:
    stages, limits = {stage: [place] for stage, place in ledgers.items()}, {"threads": 1, "memory": "500MB", "scratch": folder / "scratch"}
    metrics = audit_shards(stages, [splits], folder / "audit", AuditConfig(words=words), **limits)
    return metrics, pq.read_table(folder / "audit" / "leaks.parquet").to_pylist()


def _grams(text: str, size: int) -> list[tuple[str, ...]]:
    words = [text[start:end].lower() for start, end in spans(text)]
    return [tuple(words[k : k + size]) for k in range(len(words) - size + 1)]


def test_the_leak_equals_that_of_brute_force(tmp_path: Path) -> None:
    random = Random(3)
    train = {f"t{k}": prose(k, paragraphs=3) for k in range(8)}
    held = {}
    for k in range(6):
        borrowed = spans(train[f"t{k}"])
        start = random.randrange(20)
        quote = train[f"t{k}"][borrowed[start][0] : borrowed[start + 7 * k][1]].upper()
        held[f"h{k}"] = prose(100 + k, paragraphs=1) + "\n\n" + quote + "\n\n" + prose(200 + k, paragraphs=1)
    val, test = ({name: text for name, text in held.items() if int(name[1]) % 2 == odd} for odd in (0, 1))
    metrics, leaks = _audit(tmp_path, _splits(tmp_path / "s", train, val, test), {}, words=9)
    seen = {gram for text in train.values() for gram in _grams(text, 9)}
    for part, texts in (("val", val), ("test", test)):
        grams = [gram for text in texts.values() for gram in _grams(text, 9)]
        assert metrics[f"leak_{part}"] == pytest.approx(sum(gram in seen for gram in grams) / len(grams))
        assert metrics[f"leak_{part}_documents"] == sum(any(gram in seen for gram in _grams(text, 9)) for text in texts.values())
    worst = leaks[0]
    assert worst["train_id"] == "t" + str(worst["id"])[1:] and str(worst["text"]) in held[str(worst["id"])]
    assert metrics[f"leak_{worst['split']}_longest"] == worst["words"] == len(spans(str(worst["text"])) or [1])


def test_books_without_a_common_passage_leak_nothing(tmp_path: Path) -> None:
    metrics, leaks = _audit(tmp_path, _splits(tmp_path / "s", {"a": prose(1)}, {"b": prose(2)}, {}), {})
    assert leaks == [] and metrics["leak_val"] == metrics["leak_test"] == metrics["leak_val_longest"] == 0


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with a copy, an edition, a stub and a picture, processed by every stage."""
    root = tmp_path_factory.mktemp("corpus")
    texts = {f"{k}.txt": prose(k) for k in range(6)}
    texts |= {"copy.txt": prose(1), "edition.txt": edited(prose(2), 0.01), "stub.txt": "Too short."}
    (root / "books").mkdir()
    for name, text in texts.items():
        (root / "books" / name).write_text(text)
    (root / "books" / "photo.txt").write_bytes(b"\x89PNG" + bytes(99))
    limits: Any = {"threads": 1, "memory": "500MB", "scratch": root / "scratch"}
    ingest(IngestConfig(sources=(FilesSource(paths=("books",)),)), root / "ingest", IngestInputs(root, root), **limits)
    clean(root / "ingest" / "documents.parquet", root / "clean", CleanConfig(), threads=1, memory="500MB", scratch=root / "scratch")
    dedup([root / "clean" / "documents.parquet"], root / "dedup", DedupConfig(), threads=1, memory="500MB", scratch=root / "scratch")
    split_shards([root / "dedup" / KEPT], root / "dedup" / "clusters.parquet", root / "splits", SplitConfig(), **limits)
    return root


def test_the_funnel_accounts_for_every_document(corpus: Path, tmp_path: Path) -> None:
    metrics, _ = _audit(tmp_path, corpus / "splits" / "0", {name: corpus / name for name in ("ingest", "clean", "dedup")})
    assert metrics["balanced"] == 1 and (metrics["documents_in"], metrics["documents_kept"]) == (10, 6)
    assert [metrics[f"documents_removed_{stage}"] for stage in ("ingest", "clean", "dedup")] == [1, 1, 2]
    report = json.loads((tmp_path / "audit" / "funnel.json").read_text())
    assert [stage["documents"] for stage in report["stages"]] == [9, 8, 6]
    assert sum(part["documents"] for part in report["splits"]) == report["documents_kept"] == 6
    assert report["stages"][2]["rules"]["duplicate"]["exact_document"]["documents"] == 1


def test_a_document_missing_from_the_ledger_unbalances_the_funnel(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "dedup" / KEPT).parent.mkdir(parents=True)
    gone = pq.read_table(corpus / "dedup" / KEPT)["id"][0].as_py()
    for name in ("ledger.parquet", KEPT):
        table = pq.read_table(corpus / "dedup" / name)
        pq.write_table(table.filter([value != gone for value in table["id"].to_pylist()]), tmp_path / "dedup" / name)
    metrics, _ = _audit(
        tmp_path, corpus / "splits" / "0", {"ingest": corpus / "ingest", "clean": corpus / "clean", "dedup": tmp_path / "dedup"}
    )
    assert metrics["balanced"] == 0


def test_a_missing_ledger_is_named(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="stage clean has no ledger at"):
        _audit(tmp_path, corpus / "splits" / "0", {"ingest": corpus / "ingest", "clean": _without_ledger(corpus / "clean", tmp_path)})


def _without_ledger(stage: Path, folder: Path) -> Path:
    """Return a folder with the documents of a stage alone."""
    shutil.copy(stage / "documents.parquet", folder)
    return folder
