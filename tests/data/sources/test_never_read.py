"""A text that is never to be read is left out wherever it lies: by its id, or, where only a number names it, by its digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.documents.sharding import document_id, text_digest
from data.sources.config import FilesSource, IngestConfig
from data.sources.errors import SourceError
from tests.data.sources.material import jsonl, table, warc, zipped
from tests.data.sources.reading import read, rows, states, write

SECRET = "What nobody may read."
OTHERS = ["One.", "Two.", "Three."]
RECORDS = {
    "a.jsonl": jsonl([{"text": text} for text in (OTHERS[0], SECRET, OTHERS[1])]),
    "b.parquet": table([{"text": text} for text in (SECRET, OTHERS[2])]),
    "c.warc": warc([("text/plain", text.encode()) for text in (OTHERS[0], SECRET)]),
    "d.zip": zipped({"1.txt": SECRET.encode(), "2.txt": OTHERS[1].encode()}),
    "e.txt": SECRET.encode(),
}


def _config(*without: str, shards: int = 3, **keys: object) -> IngestConfig:
    source = FilesSource.model_validate({"name": "shelf", "paths": (".",)} | keys)
    return IngestConfig(sources=(source,), shards=shards, without=without)


def test_a_text_is_left_out_by_its_digest_wherever_it_lies_and_each_place_has_a_row(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", RECORDS)
    read(_config(text_digest(SECRET)), folder, tmp_path / "out")
    texts = [row["text"] for row in rows(tmp_path / "out", "documents", 3)]
    assert sorted(texts) == sorted([OTHERS[0], OTHERS[1], OTHERS[2], OTHERS[0], OTHERS[1]])
    removed = {row["id"] for row in rows(tmp_path / "out", "ledger", 3) if row["rule"] == "never to be read"}
    assert removed == {document_id("shelf", path) for path in ("a.jsonl#2", "b.parquet#1", "c.warc#4", "d.zip/1.txt", "e.txt")}


def test_the_text_stays_out_when_a_line_before_it_is_gone(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", {"a.jsonl": jsonl([{"text": SECRET}, {"text": OTHERS[1]}])})
    read(_config(text_digest(SECRET), shards=1), folder, tmp_path / "out")
    assert [row["text"] for row in rows(tmp_path / "out", "documents", 1)] == [OTHERS[1]]


@pytest.mark.parametrize("place", ["a.jsonl#2", "b.parquet#1", "c.warc#4"])
def test_an_id_that_is_the_place_of_a_record_is_refused_with_the_digest_to_write(tmp_path: Path, place: str) -> None:
    folder, identity = write(tmp_path / "shelf", RECORDS), document_id("shelf", place)
    with pytest.raises(SourceError, match=rf"{identity} is shelf/{place}: write {text_digest(SECRET)}"):
        read(_config(identity), folder, tmp_path / "out")


def test_an_id_still_leaves_out_a_file_a_member_and_a_record_that_has_a_name_of_its_own(tmp_path: Path) -> None:
    named = jsonl([{"text": OTHERS[0], "key": "one"}, {"text": SECRET, "key": "two"}])
    folder = write(tmp_path / "shelf", {"a.jsonl": named, "d.zip": RECORDS["d.zip"], "e.txt": RECORDS["e.txt"]})
    without = [document_id("shelf", path) for path in ("a.jsonl#two", "d.zip/1.txt", "e.txt")]
    read(_config(*without, shards=1, id_field="key"), folder, tmp_path / "out")
    assert sorted(row["text"] for row in rows(tmp_path / "out", "documents", 1)) == sorted(OTHERS[:2])


def test_a_digest_concerns_every_shard_and_an_id_its_own(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", RECORDS)
    plain = states(_config(), folder)
    by_text, by_id = states(_config(text_digest(SECRET)), folder), states(_config(document_id("shelf", "e.txt")), folder)
    assert all(one != other for one, other in zip(plain, by_text, strict=True))
    assert sum(one != other for one, other in zip(plain, by_id, strict=True)) == 1


def test_records_of_a_web_archive_that_hold_no_text_are_counted_by_type(tmp_path: Path) -> None:
    answers = [("text/plain", b"One."), ("image/png", b"\x89PNG"), ("image/png", b"\x89PNG"), ("", b"?")]
    folder = write(tmp_path / "shelf", {"a.warc": warc(answers)})
    read(_config(), folder, tmp_path / "out")
    reasons = {row["path"]: row["reason"] for row in rows(tmp_path / "out", "quarantine", 3)}
    assert reasons == {
        "a.warc#request": "not read: 4 of type request",
        "a.warc#response of image/png": "not read: 2 of type response of image/png",
        "a.warc#response of no stated type": "not read: 1 of type response of no stated type",
    }
    ledger = [(row["action"], row["rule"]) for row in rows(tmp_path / "out", "ledger", 3)]
    assert ledger.count(("quarantined", "not read")) == 3
