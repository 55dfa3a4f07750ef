"""A list of files at URLs is read like a folder: each file is fetched once, compared with its sha256, and read by its name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from data.sources.census import census
from data.sources.config import IngestConfig, ManifestSource
from data.sources.errors import SourceError
from data.sources.fetching.manifest import Entry, manifest_line, read_manifest
from data.sources.fetching.pinned import pin_prefix
from data.sources.files import source_state
from data.sources.formats import USUAL
from data.sources.ingest import IngestInputs, ingest
from flows.cli.commands.corpus import pin_below
from tests.data.sources.fetching.loopback import serving_folder
from tests.data.sources.material import jsonl, zipped
from tests.data.sources.reading import Shard, digests, limits, outcome, read, states, write

FILES = {"a.txt": b"A text.", "deep/b.jsonl": jsonl([{"text": "One."}, {"text": "Two."}]), "c.zip": zipped({"d.md": b"In a box."})}
TEXTS = {"a.txt": "A text.", "deep/b.jsonl#1": "One.", "deep/b.jsonl#2": "Two.", "c.zip/d.md": "In a box."}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A folder on loopback that holds FILES and a picture."""
    folder = write(tmp_path / "served", {**FILES, "picture.png": b"\x89PNG"})
    with serving_folder(folder) as address:
        yield f"{address}/"


def _lines(server: str) -> list[str]:
    return [f"{server}{name}\t{hashlib.sha256(content).hexdigest()}\t{name}" for name, content in FILES.items()]


def _source(folder: Path, lines: list[str]) -> ManifestSource:
    write(folder, {"books.tsv": "\n".join(lines).encode()})
    return ManifestSource(name="shelf", manifest="books.tsv")


def test_the_files_of_a_list_are_fetched_once_and_read_like_those_of_a_folder(server: str, tmp_path: Path) -> None:
    config = IngestConfig(sources=(_source(tmp_path / "work", ["# books", "", *_lines(server)]),), shards=3)
    assert outcome(config, tmp_path / "work", tmp_path / "out").texts == TEXTS
    for name in FILES:
        (tmp_path / "served" / name).unlink()
    assert outcome(config, tmp_path / "work", tmp_path / "again").texts == TEXTS
    made = [tmp_path / "again" / str(number) for number in range(3)]
    counted = census(config, tmp_path / "census", made, tmp_path / "work", tmp_path / "work", **limits(tmp_path / "scratch"))
    assert (counted["read"], counted["opened"]) == (3.0, 1.0)


def test_a_line_may_be_an_object_and_state_a_licence_which_stays_with_the_text(server: str, tmp_path: Path) -> None:
    digest = hashlib.sha256(FILES["a.txt"]).hexdigest()
    entry = {"url": f"{server}a.txt", "sha256": digest, "name": "first.txt", "licence": "CC BY 4.0"}
    lines = [json.dumps(entry), f"{server}a.txt {digest} second.txt"]
    found = outcome(IngestConfig(sources=(_source(tmp_path / "work", lines),), shards=1), tmp_path / "work", tmp_path / "out")
    assert found.documents["first.txt"]["licence"] == "CC BY 4.0"
    assert "licence" not in found.documents["second.txt"]


def test_one_more_document_in_the_list_concerns_its_shard_alone(tmp_path: Path) -> None:
    lines = [f"https://example.org/{number}.txt {number:064x}" for number in range(20)]
    before = states(IngestConfig(sources=(_source(tmp_path, lines),), shards=8), tmp_path)
    after = states(IngestConfig(sources=(_source(tmp_path, [*lines, f"https://example.org/new.txt {99:064x}"]),), shards=8), tmp_path)
    assert sum(map(len, before)) == 20
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def test_a_list_that_changes_under_a_run_is_an_error(server: str, tmp_path: Path) -> None:
    config = IngestConfig(sources=(_source(tmp_path, _lines(server)),), shards=1)
    observed = source_state(config, tmp_path, Shard(0, 1), digests)
    _source(tmp_path, _lines(server)[:2])
    with pytest.raises(SourceError, match="changed after this run began"):
        ingest(config, tmp_path / "out", IngestInputs(tmp_path, tmp_path, None, observed), Shard(0, 1), **limits(tmp_path / "scratch"))


def test_another_sha256_is_an_error_that_names_the_file(server: str, tmp_path: Path) -> None:
    config = IngestConfig(sources=(_source(tmp_path, [f"{server}a.txt {'0' * 64}"]),), shards=1)
    with pytest.raises(SourceError, match=r"a\.txt: expected sha256 0{64}"):
        read(config, tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["https://example.org/a.txt"], r"books\.tsv, line 1: sha256: Field required.*A line holds url, sha256, name, licence"),
        (["", "https://example.org/a.txt abc"], r"line 2: sha256: String should match"),
        ([f"https://ann:pearl@example.org/a.txt {'0' * 64}"], r"line 1: https://\.\.\.@example\.org/a\.txt holds a user or password"),
        ([f"books/a.txt {'0' * 64}"], "line 1: .*is not a URL"),
        ([f"https://example.org/a.txt {'0' * 64} ../a.txt"], "line 1: name: .*not a path below the source"),
        ([f"https://a.org/a.txt {'0' * 64}", f"https://b.org/a.txt {'0' * 64}"], r"line 2: two files are called 'a\.txt'"),
        (["\t".join(["https://a.org/a.txt", "0" * 64, "a", "b", "c"])], "line 1: it has 5 fields"),
        (["{broken"], "line 1: "),
        (["# nothing"], r"books\.tsv lists no file"),
    ],
)
def test_a_line_that_says_something_else_is_named_with_its_number(lines: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=words) as told:
        read_manifest(_source(tmp_path, lines), tmp_path)
    assert "pearl" not in str(told.value)


def test_a_list_that_is_missing_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"'gone\.tsv' can't be read.*Correct `manifest`"):
        read_manifest(ManifestSource(manifest="gone.tsv"), tmp_path)


def test_an_entry_is_written_as_it_is_read(tmp_path: Path) -> None:
    digest = "1" * 64
    entries = [
        Entry(url="https://example.org/a.txt", sha256=digest),
        Entry(url="https://example.org/b.txt", sha256=digest, name="deep/b c.txt", licence="CC BY 4.0"),
        Entry(url="https://example.org/c.txt", sha256=digest, name="c\td.txt"),
    ]
    assert list(read_manifest(_source(tmp_path, [manifest_line(entry) for entry in entries]), tmp_path).values()) == sorted(
        entries, key=lambda entry: entry.path
    )


def test_what_lies_below_a_url_is_pinned_and_then_read_without_the_server(server: str, tmp_path: Path) -> None:
    lines = [manifest_line(entry) for entry in pin_prefix(server, tmp_path / "work", USUAL, 9, 1.0)]
    assert [line.split("\t")[2] for line in lines] == sorted(FILES)
    for name in FILES:
        (tmp_path / "served" / name).unlink()
    config = IngestConfig(sources=(_source(tmp_path / "work", lines),), shards=2)
    assert outcome(config, tmp_path / "work", tmp_path / "out").texts == TEXTS


def test_a_prefix_of_any_file_system_is_listed_and_an_empty_one_is_an_error(tmp_path: Path) -> None:
    for name, content in FILES.items():
        with fsspec.open(f"memory://library/{name}", "wb") as file:
            file.write(content)
    found = list(pin_prefix("memory://library/", tmp_path, USUAL, 9, 1.0))
    assert [(entry.url, entry.name) for entry in found] == [(f"memory://library/{name}", name) for name in sorted(FILES)]
    with pytest.raises(SourceError, match="holds 1 files, none of which ends like one of csv"):
        list(pin_prefix("memory://library/deep", tmp_path, ("csv",), 9, 1.0))
    assert [entry.name for entry in pin_prefix("memory://library/a.txt", tmp_path, USUAL, 9, 1.0)] == [""]


def test_a_pinning_that_ended_early_goes_on_with_what_it_lacks(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLIO_HOME", str(tmp_path / "home"))
    manifest, last = tmp_path / "books.tsv", sorted(FILES)[-1]
    content = (tmp_path / "served" / last).read_bytes()
    (tmp_path / "served" / last).write_bytes(bytes(2**20 + 1))
    with pytest.raises(SourceError, match="larger than"):
        pin_below(server, manifest, (), 1, 1.0)
    assert not manifest.exists()
    (tmp_path / "served" / last).write_bytes(content)
    assert f"lists {len(FILES)} files, {len(FILES) - 1} of them pinned before" in pin_below(server, manifest, (), 1, 1.0)
    assert manifest.read_text().splitlines() == [manifest_line(entry) for entry in pin_prefix(server, tmp_path / "work", USUAL, 9, 1.0)]
    assert not list(tmp_path.glob(".books*"))


@pytest.mark.parametrize("kept", [b"https://host/a.txt\tzz\n", b"\xff\xfe\n", b""])
def test_damage_in_what_a_pinning_kept_is_named_with_the_way_out(server: str, tmp_path: Path, kept: bytes) -> None:
    (tmp_path / ".books.tsv.partial").write_bytes(kept)
    with pytest.raises(ValueError, match=r"\.books\.tsv\.partial should hold what was pinned before; remove it to begin anew"):
        pin_below(server, tmp_path / "books.tsv", (), 1, 1.0)
    with pytest.raises(ValueError, match="nowhere is not a folder; create it first"):
        pin_below(server, tmp_path / "nowhere" / "books.tsv", (), 1, 1.0)
