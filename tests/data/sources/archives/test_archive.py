"""Members of zip and tar archives are chosen by glob; an archive that is hostile is refused as a whole."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data.sources.archives import archive as archives
from data.sources.archives.archive import list_members, matches_globs, read_members
from data.sources.errors import HostileArchive, Unreadable
from tests.data.sources.material import make_tar, make_zip

TEXTS = {"tales/a.txt": b"One.", "tales/b.txt": b"Two.", "notes.md": b"No."}


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
    for name, limit, sentence in (("MEMBERS_LIMIT", 10, "more than 10 members"), ("TOTAL_LIMIT", 11, "choose fewer members")):
        with monkeypatch.context() as patch, pytest.raises(HostileArchive, match=sentence):
            patch.setattr(archives, name, limit)
            members(many)
