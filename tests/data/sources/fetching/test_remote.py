"""A file at a URL is fetched once, verified, and read like a local one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from data.shards.durable import file_digest
from data.sources.config import IngestConfig, RemoteSource
from data.sources.errors import SourceError, refuse_empty_sources
from data.sources.fetching.remote import fetch_remote
from tests.data.sources.fetching.loopback import serving_folder
from tests.data.sources.material import jsonl, zipped
from tests.data.sources.reading import outcome, write

BOX = zipped({"a.txt": b"A text.", "deep/b.jsonl": jsonl([{"text": "One."}, {"text": "Two."}])})
TEXTS = {"box.zip/a.txt": "A text.", "box.zip/deep/b.jsonl#1": "One.", "box.zip/deep/b.jsonl#2": "Two."}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A folder on loopback that holds box.zip."""
    folder = write(tmp_path / "served", {"box.zip": BOX})
    with serving_folder(folder) as address:
        yield address


@pytest.fixture
def digest(tmp_path: Path) -> str:
    """The sha256 of box.zip."""
    return file_digest(write(tmp_path / "known", {"box.zip": BOX}) / "box.zip")


def test_an_archive_over_http_is_fetched_once_and_read_as_a_local_one(server: str, digest: str, tmp_path: Path) -> None:
    source = RemoteSource(url=f"{server}/box.zip", sha256=digest)
    assert source.label == "box.zip"
    config = IngestConfig(sources=(source,), shards=2)
    assert outcome(config, tmp_path / "work", tmp_path / "out").texts == TEXTS
    (tmp_path / "served" / "box.zip").unlink()
    assert outcome(config, tmp_path / "work", tmp_path / "again").texts == TEXTS


def test_any_file_system_that_fsspec_knows_will_do(digest: str, tmp_path: Path) -> None:
    with fsspec.open("memory://shelf/box.zip", "wb") as file:
        file.write(BOX)
    source = RemoteSource(name="far", url="memory://shelf/box.zip", sha256=digest)
    assert outcome(IngestConfig(sources=(source,), shards=1), tmp_path / "work", tmp_path / "out").texts == TEXTS


def test_another_sha256_a_missing_file_and_one_too_large_are_errors_that_leave_nothing(server: str, digest: str, tmp_path: Path) -> None:
    write(tmp_path / "served", {"large.txt": b"x" * (2 << 20)})
    for name, pinned, most, words in (
        ("box.zip", "0" * 64, 9, rf"box\.zip: expected sha256 {'0' * 64}, got {digest}\. .*into the recipe"),
        ("gone.zip", digest, 9, r"gone\.zip could not be fetched: .*Check the address.*~/\.netrc.*by hand"),
        ("large.txt", digest, 1, r"larger than 1 MB; raise `max_megabytes`"),
    ):
        source = RemoteSource(url=f"{server}/{name}", sha256=pinned, max_megabytes=most)
        with pytest.raises(SourceError, match=words):
            fetch_remote(source, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


def test_a_cached_file_that_was_spoiled_is_fetched_anew(server: str, digest: str, tmp_path: Path) -> None:
    source = RemoteSource(url=f"{server}/box.zip", sha256=digest)
    kept = fetch_remote(source, tmp_path / "cache")
    kept.write_bytes(b"spoiled")
    assert fetch_remote(source, tmp_path / "cache").read_bytes() == BOX


def test_a_driver_that_is_not_installed_is_named_with_its_extra(digest: str, tmp_path: Path) -> None:
    for scheme, extra in (("s3", "s3"), ("gs", "gs"), ("abfs", "az")):
        try:
            fsspec.get_filesystem_class(scheme)
        except ImportError:
            with pytest.raises(
                SourceError, match=rf"{scheme}://bucket/box\.zip: its driver is not installed; pip install -e '\.\[{extra}\]'"
            ):
                fetch_remote(RemoteSource(url=f"{scheme}://bucket/box.zip", sha256=digest), tmp_path / "cache")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://ann:pearl@example.org/a.zip", "a user or password.*Credentials are read from ~/.netrc"),
        ("s3://AKIA:pearl@bucket/a.zip", "a user or password.*AWS_ACCESS_KEY_ID"),
        ("https://b.s3.amazonaws.com/a.zip?X-Amz-Signature=pearl", "'X-Amz-Signature', which looks like a secret"),
        ("https://a.blob.core.windows.net/c/a.zip?sv=1&sig=pearl", "'sig', which looks like a secret"),
        ("https://example.org/a.zip?token=pearl", "'token'"),
        ("zip://a.txt::https://example.org/a.zip", "a chain of file systems"),
        ("file:///home/ann/a.zip", "a path on this machine.*kind: files"),
        ("local:///home/ann/a.zip", "a path on this machine"),
        ("books/a.zip", "is not a URL.*local files has kind: files"),
    ],
)
def test_a_url_with_a_secret_and_a_text_that_is_no_url_are_refused_without_showing_the_secret(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        RemoteSource(url=url, sha256="0" * 64)
    assert "pearl" not in str(raised.value)


def test_urls_without_secrets_are_accepted() -> None:
    for url in ("https://example.org/a.zip?page=2", "abfs://texts@account.dfs.core.windows.net/a.zip", "gs://bucket/a%20b.txt"):
        assert RemoteSource(url=url, sha256="0" * 64).url == url


def test_a_remote_source_without_a_text_is_an_error_that_names_it(tmp_path: Path, digest: str) -> None:
    source = RemoteSource(url="https://example.org/a.zip", sha256=digest)
    with pytest.raises(SourceError, match=r"empty corpus: https://example\.org/a\.zip: formats txt, md"):
        refuse_empty_sources(IngestConfig(sources=(source,)), tmp_path, [], [])
