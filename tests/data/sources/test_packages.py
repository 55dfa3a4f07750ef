"""Package sources: a pinned archive, fetched through pip as pip is configured, read and never run."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data.sources.archives import archive as archives
from data.sources.archives.archive import list_members, matches_globs, read_members
from data.sources.config import IngestConfig, PackageSource
from data.sources.errors import HostileArchive, SourceError, Unreadable
from data.sources.fetching.package import fetch_package
from data.sources.hash_cache import file_sha256
from tests.data.sources.reading import read

TEXTS = {"tales/a.txt": b"One.", "tales/b.txt": b"Two.", "notes.md": b"No."}
ALARM = b"raise SystemExit('the build code ran')\n"


def make_zip(path: Path, members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda info: None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            archive.writestr(info, content)
    return path


def make_tar(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content) if kind == tarfile.REGTYPE else 0, kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return path


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
    source = _source(kind, file_sha256(index / file))
    fetched = fetch_package(source, tmp_path / "cache")
    assert fetched.read_bytes() == (index / file).read_bytes()
    (index / file).unlink()
    assert fetch_package(source, tmp_path / "cache") == fetched


def test_another_sha256_is_an_error_that_names_package_both_sums_and_the_way_out(index: Path, tmp_path: Path) -> None:
    wanted, got = "0" * 64, file_sha256(index / "tales-1.0-py3-none-any.whl")
    with pytest.raises(SourceError, match=rf"tales==1\.0 \(wheel\): expected sha256 {wanted}, got {got}\. .*into the recipe"):
        fetch_package(_source("wheel", wanted), tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_file()]


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_version_that_is_not_there_is_an_error_that_names_it_and_where_to_put_it(index: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(SourceError, match=r"tales==9\.9 .* could not be fetched: .*tales==9\.9.*by hand"):
        fetch_package(_source(kind, "0" * 64, "9.9"), tmp_path / "cache")


def members(archive: Path, include: tuple[str, ...] = ("*",), exclude: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The chosen members of an archive and their content, in its order."""
    found = list_members(archive, lambda name: matches_globs(name, include, exclude))
    return {member.name: b"" if isinstance(stream, Unreadable) else stream.read() for member, stream in read_members(archive, found)}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_globs_choose_members_and_exclude_wins(tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]) -> None:
    archive = make(tmp_path / "a", TEXTS)
    assert members(archive, ("*.txt",), ("*/b.*",)) == {"tales/a.txt": b"One."}
    assert members(archive) == TEXTS


@pytest.mark.parametrize("name", ["../up.txt", "/etc/x.txt", "a/../../x.txt", "C:/x.txt", "..\\x.txt"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_member_that_leads_out_spoils_the_whole_archive(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], name: str
) -> None:
    with pytest.raises(HostileArchive, match="leads out of the archive"):
        members(make(tmp_path / "a", {"good.txt": b"Good.", name: b"Bad."}), ("good.txt",))


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    def linked(info: zipfile.ZipInfo) -> None:
        info.external_attr = 0o120777 << 16

    for archive in (
        make_zip(tmp_path / "z", {"a.txt": b"/etc/passwd"}, linked),
        *(make_tar(tmp_path / f"t{kind!r}", {"a.txt": b""}, kind) for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE)),
    ):
        with pytest.raises(HostileArchive, match="is a link"):
            members(archive)


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z", "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        for text in ("One.", "Another."):
            archive.writestr("a.txt", text)
    with pytest.raises(HostileArchive, match=r"two members called a\.txt"):
        members(tmp_path / "z")


def test_bombs_are_refused_before_they_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = {"bomb.txt": bytes(9 << 20)}
    for archive in (make_zip(tmp_path / "z", zeros), make_tar(tmp_path / "t", zeros)):
        with pytest.raises(HostileArchive, match="more than 200 times its size"):
            members(archive)
    many = make_zip(tmp_path / "many", {f"{k}.txt": b"x" for k in range(12)})
    limits = (("MEMBERS_LIMIT", 10, "more than 10 members"), ("TOTAL_LIMIT", 11, "choose fewer members"), ("MEMBER_LIMIT", 0, "limit is 0"))
    for name, limit, sentence in limits:
        with monkeypatch.context() as patch, pytest.raises(HostileArchive, match=sentence):
            patch.setattr(archives, name, limit)
            members(many)


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
        source = _source("wheel", file_sha256(tmp_path / "tales-1.0.wheel"))
        with pytest.raises(error, match=words):
            read(IngestConfig(sources=(source,), shards=1), tmp_path, tmp_path / "out")
