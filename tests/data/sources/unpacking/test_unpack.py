"""Archives and files of records are opened once for all shards, and the shards together are what one shard gives."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import pytest

from data.documents.sharding import SLICE, document_id, shard_of, text_digest
from data.shards.durable import file_digest
from data.sources.config import FilesSource, IngestConfig, ManifestSource, PackageSource, RemoteSource
from data.sources.files import groups_at_work, unpack_state
from data.sources.ingest import IngestInputs, ingest
from data.sources.reading import unpack
from data.sources.sharing import GROUPS, group_of, opened_by
from tasks.corpus import holds_document
from tests.data.sources.material import ARCHIVERS, chapter, epub, jsonl, page, separated, table, warc, zipped
from tests.data.sources.reading import Shard, digests, limits, read, read_all, rows, states, unpack_all, write

SHARDS = 5
ROWS: list[dict[str, object]] = [{"text": f"The text of row {number}."} for number in range(40)]
SECRET = "What nobody may read."


def _everything() -> dict[str, bytes]:
    """A folder of every kind of file that may hold several documents, whole and damaged, and of some that hold one."""
    inner = {"in/a.txt": b"A text.", "in/b.jsonl": jsonl(ROWS[:9]), "in/c.epub": epub({"one": chapter("Chapter one.")}), "in/d.txt": b""}
    lines = jsonl(ROWS)
    return {
        "one.txt": b"One text.",
        "two.txt.gz": gzip.compress(b"Another text."),
        "rows.jsonl": lines + b"{broken\n",
        "packed.jsonl.gz": gzip.compress(lines),
        "cut.jsonl.gz": gzip.compress(lines)[:-30],
        "sheet.csv": separated(ROWS),
        "table.parquet": table(ROWS),
        "web.warc": warc(
            [("text/html", page(name).encode()) for name in "abc"] + [("text/plain", b"A plain answer."), ("image/png", b"\x89PNG")]
        ),
        "unknown.asc": b"A text without a known ending.",
        "texts.zip": zipped({f"{number}.txt": f"Member {number}.".encode() for number in range(9)}),
        "mixed.zip": zipped(inner),
        "nested.zip": zipped({"inner.zip": zipped(inner), "x.txt": b"X."}),
        "damaged.zip": zipped(inner)[:-40],
        "climbing.tar.gz": gzip.compress(b"no tar at all"),
        **{f"packed{ending}": make(inner) for ending, make in ARCHIVERS.items() if ending != ".zip"},
    }


ALL = (".", "*.asc")


def _config(*without: str, shards: int = SHARDS, paths: tuple[str, ...] = (".",), **keys: Any) -> IngestConfig:
    return IngestConfig(sources=(FilesSource(name="shelf", paths=paths, **keys),), shards=shards, without=without)


def _slices(folder: Path, shards: int = SHARDS) -> list[str]:
    return [hashlib.sha256((folder / SLICE.format(number)).read_bytes()).hexdigest() for number in range(shards)]


@pytest.mark.parametrize("join", [None, r"[a-d]$"], ids=["files", "joined works"])
def test_the_shards_together_are_what_one_shard_gives_of_every_kind_of_file(tmp_path: Path, join: str | None) -> None:
    folder = write(tmp_path / "shelf", _everything())
    for shards in (1, SHARDS):
        read(_config(shards=shards, join=join, paths=ALL), folder, tmp_path / f"{shards}")
    assert rows(tmp_path / f"{SHARDS}", "documents", SHARDS) == rows(tmp_path / "1", "documents", 1)
    for name in ("quarantine", "ledger"):
        together = sorted(rows(tmp_path / f"{SHARDS}", name, SHARDS), key=str)
        assert together == sorted(rows(tmp_path / "1", name, 1), key=str)
    assert {"rows.jsonl#41", "cut.jsonl.gz", "damaged.zip"} <= {row["path"] for row in rows(tmp_path / "1", "quarantine", 1)}


def test_a_file_is_opened_by_one_group_and_then_by_no_shard(tmp_path: Path) -> None:
    folder, config = write(tmp_path / "shelf", _everything()), _config(paths=ALL)
    groups = [unpack_state(config, folder, Shard(number, GROUPS), digests) for number in range(GROUPS)]
    unpacked = [name for state in groups for name in state]
    own = [name for state in states(config, folder) for name in set(state) - {"shelf/texts.zip", "shelf/damaged.zip"}]
    assert sorted(unpacked + own) == sorted(f"shelf/{name}" for name in _everything() if name not in ("texts.zip", "damaged.zip"))
    assert set(own) == {"shelf/one.txt", "shelf/two.txt.gz"}
    expected = read_all(folder, tmp_path / "before", SHARDS, paths=ALL).texts
    folders, observed = unpack_all(config, folder, tmp_path / "out"), states(config, folder)
    for name in unpacked:
        (folder / name.removeprefix("shelf/")).write_bytes(b"")
    for number, state in enumerate(observed):
        inputs = IngestInputs(folder, folder, None, state, unpacked=[one / SLICE.format(number) for one in folders])
        ingest(config, tmp_path / "out" / str(number), inputs, Shard(number, SHARDS), **limits(tmp_path / "scratch"))
    assert sorted(row["text"] for row in rows(tmp_path / "out", "documents", SHARDS)) == sorted(expected.values())


def test_one_shard_opens_everything_itself(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", _everything())
    assert groups_at_work(_config(shards=1, paths=ALL), folder) == ()
    assert set(states(_config(shards=1, paths=ALL), folder)[0]) == {f"shelf/{name}" for name in _everything()}


def test_a_zip_of_documents_is_left_to_its_directory_and_one_with_records_is_unpacked(tmp_path: Path) -> None:
    source = FilesSource(name="shelf", paths=(".",))
    folder = write(tmp_path / "shelf", {"a.zip": zipped({"1.txt": b"One."}), "b.zip": zipped({"1.jsonl": jsonl(ROWS)})})
    assert opened_by(source, "a.zip", folder / "a.zip") == "shards"
    assert opened_by(source, "b.zip", folder / "b.zip") == "group"


@pytest.mark.parametrize(
    ("source", "name", "by"),
    [
        (PackageSource(package="tales", version="1.0", sha256="0" * 64), "tales", "shards"),
        (PackageSource(package="tales", version="1.0", sha256="0" * 64, include=("*.txt", "data/*")), "tales", "both"),
        (PackageSource(package="tales", version="1.0", sha256="0" * 64, archive="sdist"), "tales", "group"),
        (RemoteSource(url="https://example.org/a.jsonl.gz", sha256="0" * 64), "a.jsonl.gz", "group"),
        (RemoteSource(url="https://example.org/a.zip", sha256="0" * 64), "a.zip", "both"),
        (RemoteSource(url="https://example.org/a.txt", sha256="0" * 64), "a.txt", "shards"),
        (ManifestSource(manifest="books.tsv"), "far/a.tar.zst", "group"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_of_a_file_that_is_not_here_yet_the_name_decides(source: Any, name: str, by: str) -> None:
    assert opened_by(source, name, None) == by


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_a_record_that_is_edited_changes_the_slice_of_its_own_shard_alone(tmp_path: Path, ending: str) -> None:
    pack: Callable[[bytes], bytes] = gzip.compress if ending.endswith("gz") else bytes
    folder, config = write(tmp_path / "shelf", {f"a{ending}": pack(jsonl(ROWS))}), _config()
    (before,) = (_slices(one) for one in unpack_all(config, folder, tmp_path / "before"))
    write(folder, {f"a{ending}": pack(jsonl([*ROWS[:6], {"text": "Edited."}, *ROWS[7:]]))})
    (after,) = (_slices(one) for one in unpack_all(config, folder, tmp_path / "after"))
    changed = [number for number in range(SHARDS) if before[number] != after[number]]
    assert changed == [shard_of(document_id("shelf", f"a{ending}#7"), SHARDS)]


def test_a_file_that_is_added_is_observed_by_its_own_group_alone(tmp_path: Path) -> None:
    folder, config = write(tmp_path / "shelf", {f"{number}.jsonl": jsonl(ROWS) for number in range(9)}), _config()
    before = [unpack_state(config, folder, Shard(number, GROUPS), digests) for number in range(GROUPS)]
    write(folder, {"new.csv": separated(ROWS)})
    after = [unpack_state(config, folder, Shard(number, GROUPS), digests) for number in range(GROUPS)]
    changed = [number for number in range(GROUPS) if before[number] != after[number]]
    assert changed == [group_of(config.sources[0], "new.csv", GROUPS)]  # type: ignore[arg-type]
    assert groups_at_work(config, folder) == tuple(number for number in range(GROUPS) if after[number])


@pytest.mark.parametrize("memory", ["100MB", "1GB"])
@pytest.mark.parametrize("threads", [1, 3])
def test_slices_are_the_same_bytes_whatever_the_threads_and_memory(tmp_path: Path, threads: int, memory: str) -> None:
    folder, config = write(tmp_path / "shelf", {"a.tar": ARCHIVERS[".tar"]({"a.txt": b"A.", "b.jsonl": jsonl(ROWS)})}), _config()
    (number,) = groups_at_work(config, folder)
    (reference,) = unpack_all(config, folder, tmp_path / "reference")
    group, scratch = Shard(number, GROUPS), tmp_path / "scratch"
    unpack(config, tmp_path / "other", folder, folder, group, threads=threads, memory=memory, scratch=scratch)
    assert _slices(tmp_path / "other") == _slices(reference)


@pytest.mark.parametrize("by", ["id", "digest"])
def test_no_slice_keeps_a_word_of_what_is_never_read(tmp_path: Path, by: str) -> None:
    named = [{"text": SECRET, "key": "one"}, {"text": "Another.", "key": "two"}]
    members = {"a.txt": SECRET.encode(), "b.jsonl": jsonl(named), "c.txt": b"A third."}
    folder = write(tmp_path / "shelf", {"a.tar.gz": ARCHIVERS[".tar.gz"](members), "b.jsonl": jsonl(named)})
    secret = [document_id("shelf", path) for path in ("a.tar.gz/a.txt", "a.tar.gz/b.jsonl#one", "b.jsonl#one")]
    config = _config(*(secret if by == "id" else [text_digest(SECRET)]), id_field="key")
    for one in unpack_all(config, folder, tmp_path / "out"):
        for path in one.iterdir():
            assert not any(SECRET.encode() in row["content"] for row in pq.read_table(path).to_pylist())
    read(config, folder, tmp_path / "out")
    removed = {row["id"] for row in rows(tmp_path / "out", "ledger", SHARDS) if row["rule"] == "never to be read"}
    assert removed == set(secret)
    assert sorted(row["text"] for row in rows(tmp_path / "out", "documents", SHARDS)) == ["A third.", "Another.", "Another."]


def test_a_slice_tells_whether_it_has_a_documents_words(tmp_path: Path) -> None:
    excluded, kept, fault = (document_id("shelf", f"a.jsonl#{key}") for key in ("one", "two", "three"))
    lines = jsonl([{"text": SECRET, "key": "one"}, {"text": "Another.", "key": "two"}, {"text": 3, "key": "three"}])
    folder = write(tmp_path / "shelf", {"a.jsonl": lines})
    (one,) = unpack_all(_config(excluded, id_field="key"), folder, tmp_path / "out")
    for identity, held in ((excluded, False), (kept, True), (fault, False)):
        with (one / SLICE.format(shard_of(identity, SHARDS))).open("rb") as stream:
            assert holds_document(stream, identity) is held


@pytest.mark.parametrize(("kind", "ending"), [("sdist", ".tar.gz"), ("wheel", ".zip")])
def test_a_package_is_unpacked_as_one_shard_reads_it(kind: Literal["sdist", "wheel"], ending: str, tmp_path: Path) -> None:
    members = {f"tales/{number}.txt": f"Tale {number}.".encode() for number in range(9)} | {"tales/b.jsonl": jsonl(ROWS)}
    archive = write(tmp_path, {f"tales-1.0.{kind}": ARCHIVERS[ending](members)}) / f"tales-1.0.{kind}"
    source = PackageSource(package="tales", version="1.0", sha256=file_digest(archive), archive=kind, include=("*",))
    for shards in (1, SHARDS):
        read(IngestConfig(sources=(source,), shards=shards), tmp_path, tmp_path / f"{shards}")
    documents = rows(tmp_path / f"{SHARDS}", "documents", SHARDS)
    assert documents == rows(tmp_path / "1", "documents", 1) and len(documents) == 49


def _zips() -> dict[str, bytes]:
    """Zips of every kind, whole and damaged, and what only has their ending."""
    inner = {f"tales/{number}.txt": f"Tale {number}.".encode() for number in range(9)}
    mixed = inner | {"tales/b.jsonl": jsonl(ROWS), "tales/c.jsonl.gz": gzip.compress(jsonl(ROWS)), "README": b"Read me."}
    whole = zipped(mixed | {"deep.zip": zipped(mixed), "torn.zip": zipped(mixed)[:-40], "picture.png": b"none"})
    return {
        "mixed": whole,
        "documents alone": zipped(inner),
        "nothing asked for": zipped({"picture.png": b"none"}),
        "torn": whole[:-40],
        "climbing": zipped({"../1.txt": b"One."}),
        "records under its name": jsonl(ROWS),
        "no zip at all": b"A text.",
    }


def _at_a_url(content: bytes, cache: Path) -> RemoteSource:
    """Return a source of a zip at a URL that was fetched already."""
    digest = hashlib.sha256(content).hexdigest()
    write(cache, {f"{digest[:16]}-tales.zip": content})
    return RemoteSource(url="https://example.org/tales.zip", sha256=digest)


@pytest.mark.parametrize("shards", [2, SHARDS])
@pytest.mark.parametrize("kind", _zips())
def test_a_zip_at_a_url_is_read_once_by_group_and_shards_together(kind: str, shards: int, tmp_path: Path) -> None:
    source = _at_a_url(_zips()[kind], tmp_path)
    for count in (1, shards):
        read(IngestConfig(sources=(source,), shards=count), tmp_path, tmp_path / f"{count}")
    for name in ("documents", "quarantine", "ledger"):
        assert sorted(rows(tmp_path / f"{shards}", name, shards), key=str) == sorted(rows(tmp_path / "1", name, 1), key=str)


def test_of_a_zip_at_a_url_no_shard_opens_files_of_records(tmp_path: Path) -> None:
    source = _at_a_url(zipped({"1.txt": b"One.", "b.jsonl": jsonl(ROWS)}), tmp_path)
    config = IngestConfig(sources=(source,), shards=SHARDS)
    for number, state in enumerate(states(config, tmp_path)):
        inputs = IngestInputs(tmp_path, tmp_path, None, state)
        ingest(config, tmp_path / "out" / str(number), inputs, Shard(number, SHARDS), **limits(tmp_path / "scratch"))
    assert [row["text"] for row in rows(tmp_path / "out", "documents", SHARDS)] == ["One."]
