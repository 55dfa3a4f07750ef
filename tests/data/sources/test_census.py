"""Every entry where the sources point has one fate: read, set aside, opened, or not asked for; none is lost."""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.documents.ledger import Unbalanced
from data.documents.sharding import document_id
from data.shards.durable import file_digest
from data.sources.census import census
from data.sources.config import FilesSource, IngestConfig, PackageSource
from data.sources.files import census_state
from tests.data.sources.hostile_inputs import HONEST, thousand
from tests.data.sources.material import make_zip, zipped
from tests.data.sources.reading import digests, limits, read, rows, write

UNASKED = (
    "psd",
    "png",
    "jpg",
    "mp3",
    "exe",
    "so",
    "pkl",
    "bin",
    "feather",
    "avro",
    "sqlite",
    "woff2",
    "mobi",
    "djvu",
    "xls",
    "svg",
    "mp4",
    "wav",
    "dll",
    "class",
    "ttf",
    "iso",
    "h5",
    "npy",
)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Path]:
    """A folder of forty kinds of entry, one of each that no reader is for."""
    folder = tmp_path / "shelf"
    files = {f"good/{kind.replace('.', '_')}.{kind}": content for kind, content in HONEST.items()}
    files |= {f"other/{kind}.{kind}": b"\x00 no text" for kind in UNASKED}
    files |= {"good/Makefile": b"all:\n", "good/.hidden.txt": b"Hidden.", ".git/config": b"[core]", "x.txt/inner.txt": b"Inside a folder."}
    files |= {"blank.txt": b"\n", "box.zip": zipped({"a.txt": b"In a box.", "b.psd": b"8BPS", "deep/c.txt": b" "})}
    files |= {"pictures.zip": zipped({"a.png": b"\x89PNG"}), "broken.tar": b"\0" * 100, "emma_1.txt": b"One.", "emma_2.txt": b"Two."}
    write(folder, files)
    os.mkfifo(folder / "pipe.txt")
    (folder / "again").symlink_to(".")
    (folder / "gone.txt").symlink_to("nowhere.txt")
    (folder / "self").symlink_to("self")
    (folder / "closed").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(folder)  # the name of a socket is short
        listening.bind("socket.md")
        os.chdir(here)
        yield folder


def _census(config: IngestConfig, folder: Path, output: Path) -> dict[str, tuple[str, str]]:
    """Ingest, and return {path: (kind, fate)}."""
    read(config, folder, output)
    ingested = [output / str(number) for number in range(config.shards)]
    metrics = census(config, output / "census", ingested, folder, folder, **limits(output / "scratch"))
    found = pq.read_table(output / "census" / "census.parquet").to_pylist()
    assert {fate: metrics[fate.replace(" ", "_")] for fate in {row["fate"] for row in found}} == Counter(row["fate"] for row in found)
    assert [(row["source"], row["path"]) for row in found] == sorted({(row["source"], row["path"]) for row in found})
    return {row["path"]: (row["kind"], row["fate"]) for row in found}


def test_every_entry_of_a_folder_of_forty_kinds_has_its_fate(shelf: Path, tmp_path: Path) -> None:
    config = IngestConfig(sources=(FilesSource(name="shelf", paths=(".",), join=r"_\d$"),), shards=3)
    found = _census(config, shelf, tmp_path / "out")
    walked = {str(Path(parent, name).relative_to(shelf)) for parent, folders, names in os.walk(shelf) for name in (*folders, *names)}
    # os.walk follows no link and enters hidden folders; members of archives are entries that it can't see.
    local = {path for path in found if not any(parent.is_file() for parent in (shelf / path).parents)}
    assert local == {path for path in walked if not path.startswith(".git/")}
    assert len({kind for kind, _ in found.values()}) >= 40
    assert not [path for path, (_, fate) in found.items() if fate == "lost"]
    assert {path: found[path] for path in ("pipe.txt", "socket.md", "gone.txt", "self")} == {
        "pipe.txt": ("not a file", "set aside"), "socket.md": ("not a file", "set aside"),
        "gone.txt": ("dangling link", "set aside"), "self": ("dangling link", "set aside"),
    }  # fmt: skip
    assert {path: found[path] for path in ("again", "x.txt", "good/.hidden.txt", ".git", "good/Makefile")} == {
        "again": ("linked folder", "not asked for"), "x.txt": ("folder", "opened"), "good/.hidden.txt": ("hidden file", "not asked for"),
        ".git": ("hidden folder", "not asked for"), "good/Makefile": ("without an ending", "not asked for"),
    }  # fmt: skip
    assert {path: found[path][1] for path in found if path.startswith(("box.zip", "pictures", "blank", "broken", "emma", "x.txt/"))} == {
        "box.zip": "opened", "box.zip/a.txt": "read", "box.zip/b.psd": "not asked for", "box.zip/deep/c.txt": "set aside",
        "pictures.zip": "set aside", "pictures.zip/a.png": "not asked for", "blank.txt": "set aside", "broken.tar": "set aside",
        "emma_1.txt": "read", "emma_2.txt": "read", "x.txt/inner.txt": "read",
    }  # fmt: skip
    assert all(found[f"other/{kind}.{kind}"] == (f".{kind}", "not asked for") for kind in UNASKED)
    aside = {row["path"]: row["reason"] for row in rows(tmp_path / "out", "quarantine", 3)}
    assert aside["pipe.txt"] == "not a file: a pipe" and aside["socket.md"] == "not a file: a socket"
    assert aside["gone.txt"].startswith("dangling link") and len([path for path in aside if path.startswith("again")]) == 0
    counted = json.loads((tmp_path / "out" / "census" / "census.json").read_text())
    assert counted["shelf"]["not asked for"][".png"] == {"entries": 2, "shown": ["other/png.png", "pictures.zip/a.png"]}


def test_of_a_thousand_damaged_files_none_is_lost(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", dict(list(thousand().items())[::12]))
    found = _census(IngestConfig(sources=(FilesSource(name="shelf", paths=(".",)),), shards=2), folder, tmp_path / "out")
    assert {fate for _, fate in found.values()} >= {"read", "set aside", "opened"}


@pytest.mark.parametrize("name", ["late.txt", "late.jsonl"])
def test_a_file_that_no_ledger_names_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "shelf", {"a.txt": b"A text.", "b.jsonl": b'{"text": "B."}\n'})
    config = IngestConfig(sources=(FilesSource(name="shelf", paths=(".",)),), shards=1)
    read(config, folder, tmp_path / "out")
    write(folder, {name: b'{"text": "Too late."}\n'})
    lost = f"ingest lost shelf/{name}: it is neither a document nor in quarantine.*start the run again"
    with pytest.raises(Unbalanced, match=lost):
        census(config, tmp_path / "census", [tmp_path / "out" / "0"], folder, folder, **limits(tmp_path / "scratch"))


def test_a_link_to_a_folder_above_it_is_not_followed_and_one_to_a_folder_elsewhere_once(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", {"a.txt": b"A text.", "deep/b.txt": b"B."})
    write(tmp_path / "elsewhere", {"c.txt": b"C."})
    (folder / "again").symlink_to(".")
    (folder / "deep" / "up").symlink_to("..")
    for link in ("one", "two"):
        (folder / link).symlink_to("../elsewhere")
    for name, pattern in (("folder", "."), ("glob", "**/*.txt")):
        found = _census(IngestConfig(sources=(FilesSource(name="shelf", paths=(pattern,)),), shards=1), folder, tmp_path / name)
        assert {path for path, (_, fate) in found.items() if fate == "read"} == {"a.txt", "deep/b.txt", "one/c.txt"}
        assert {path for path, (kind, _) in found.items() if kind == "linked folder"} == {"again", "deep/up", "two"}


def test_a_folder_that_a_glob_takes_for_a_text_is_set_aside(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", {"a.txt": b"A text.", "x.txt/inner.txt": b"Inside.", "deep/b.txt": b"Deep."})
    found = _census(IngestConfig(sources=(FilesSource(name="shelf", paths=("*.txt",)),), shards=1), folder, tmp_path / "out")
    assert found == {
        "a.txt": ("txt", "read"), "x.txt": ("a folder", "set aside"), "deep": ("folder beside the glob", "not asked for"),
    }  # fmt: skip


def test_members_that_the_globs_of_a_package_leave_out_are_counted(tmp_path: Path) -> None:
    archive = make_zip(
        tmp_path / "tales-1.0.wheel", {"tales/a.txt": b"A tale.", "tales/b.txt": b"", "tales/code.py": b"x", "x.dist/M": b"m"}
    )
    source = PackageSource(package="tales", version="1.0", sha256=file_digest(archive))
    found = _census(IngestConfig(sources=(source,), shards=1), tmp_path, tmp_path / "out")
    assert {path: fate for path, (_, fate) in found.items()} == {
        "tales/a.txt": "read", "tales/b.txt": "set aside", "tales/code.py": "not asked for", "x.dist/M": "not asked for",
    }  # fmt: skip


def test_an_excluded_document_counts_as_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", {"a.txt": b"A text.", "b.txt": b"B."})
    config = IngestConfig(sources=(FilesSource(name="shelf", paths=(".",)),), shards=1, without=(document_id("shelf", "b.txt"),))
    assert _census(config, folder, tmp_path / "out") == {"a.txt": ("txt", "read"), "b.txt": ("txt", "read")}


def test_a_file_that_is_not_asked_for_changes_what_the_census_observes_and_a_touched_one_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", {"a.txt": b"A text.", "box.zip": zipped({"a.txt": b"In a box."})})
    config = IngestConfig(sources=(FilesSource(name="shelf", paths=(".",)),))
    before = census_state(config, folder, None, digests)
    (folder / "a.txt").write_bytes(b"Another text.")
    assert census_state(config, folder, None, digests) == before, "the content of a text is the business of ingest"
    write(folder, {"picture.png": b"\x89PNG"})
    after = census_state(config, folder, None, digests)
    assert after.keys() - before.keys() == {"shelf/*.png"} and all(after[name] == before[name] for name in before)
    write(folder, {"box.zip": zipped({"a.txt": b"In a box.", "b.psd": b"8BPS"})})
    assert {name for name, state in census_state(config, folder, None, digests).items() if after[name] != state} == {"shelf/box.zip"}
