"""Damage costs what is damaged and is told: a cut, bytes behind an end, a wrong length, a mark without a text."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.sources.archives.compression import decompress
from data.sources.errors import Unreadable
from data.sources.readers.warc import WarcFrames
from tests.data.sources.hostile_inputs import HONEST
from tests.data.sources.material import ARCHIVERS, PACKERS, chapter, epub, jsonl, prose, tarred, warc
from tests.data.sources.reading import read_all, write

PAGES = [prose(f"page {number}").encode() for number in range(12)]
ARCHIVE = warc([("text/plain", page) for page in PAGES])
LENGTHS = [match.span(1) for match in re.finditer(rb"\r\nContent-Length: (\d+)", ARCHIVE)]
PACKED = sorted(ending for ending in PACKERS if ending)


def _with_length(record: int, length: bytes) -> bytes:
    start, end = LENGTHS[record]
    return ARCHIVE[:start] + length + ARCHIVE[end:]


@pytest.mark.parametrize("length", [b"99999999999999", b"2000", b"5", b"-1", b"many"])
@pytest.mark.parametrize("record", [1, 12, 23])
def test_a_wrong_length_in_a_web_archive_costs_one_record(tmp_path: Path, length: bytes, record: int) -> None:
    found = read_all(write(tmp_path / "shelf", {"a.warc": _with_length(record, length)}), tmp_path / "out", shards=2)
    response = record % 2 == 1
    assert len(found.texts) == 12 - response and set(found.texts.values()) <= {page.decode() for page in PAGES}
    assert set(found.reasons) == {f"a.warc#{record + 1}", "a.warc#request"}
    assert found.reasons[f"a.warc#{record + 1}"].startswith(("damaged record", "cut off"))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, len(ARCHIVE) - 1))
def test_a_web_archive_cut_anywhere_gives_whole_records_and_says_that_it_is_cut(size: int) -> None:
    whole = [record for record, _ in WarcFrames(io.BytesIO(ARCHIVE), 1 << 20)]
    frames = list(WarcFrames(io.BytesIO(ARCHIVE[:size]), 1 << 20))
    kept = [record for record, fault in frames if not fault]
    assert kept == whole[: len(kept)]
    ends = [sum(map(len, whole[:count])) + 4 * count for count in range(len(whole) + 1)]
    assert (frames[-1][1] != "") == (not any(end - 4 <= size <= end for end in ends))


def test_half_a_web_archive_keeps_whole_records_alone(tmp_path: Path) -> None:
    for name, content in {"a.warc": ARCHIVE[: LENGTHS[11][1] + 200], "a.warc.gz": gzip.compress(ARCHIVE)[:-20]}.items():
        found = read_all(write(tmp_path / name, {name: content}), tmp_path / f"{name}-out")
        assert len(found.texts) >= 5 and set(found.texts.values()) <= {page.decode() for page in PAGES}
        assert [reason for reason in found.reasons.values() if reason.startswith(("cut off: the file ends", "damaged gz"))]


@pytest.mark.parametrize("ending", PACKED)
def test_bytes_behind_the_end_of_a_compressed_file_cost_no_text_and_are_told(tmp_path: Path, ending: str) -> None:
    text, rows = prose("packed"), jsonl([{"text": "One."}, {"text": "Two."}])
    files = {f"a.txt{ending}": PACKERS[ending](text.encode()) + b"garbage", f"b.jsonl{ending}": PACKERS[ending](rows) + b"garbage"}
    found = read_all(write(tmp_path / "shelf", files), tmp_path / "out", shards=3)
    assert found.texts == {f"a.txt{ending}": text, f"b.jsonl{ending}#1": "One.", f"b.jsonl{ending}#2": "Two."}
    assert set(found.reasons) == {f"{name}#behind the end" for name in files}
    assert all("7 bytes follow the last" in reason for reason in found.reasons.values())


@pytest.mark.parametrize("ending", PACKED)
def test_streams_one_behind_the_other_are_one_and_a_cut_in_any_is_told(ending: str) -> None:
    pack = PACKERS[ending]
    packed = pack(b"One. " * 999) + pack(b"") + pack(b"Two. " * 999)
    assert decompress(io.BytesIO(packed), ending[1:], len(packed)).read() == b"One. " * 999 + b"Two. " * 999
    for size in (len(pack(b"One. " * 999)) - 1, len(packed) - 1, len(packed) - 5):
        with pytest.raises(Unreadable, match="damaged"):
            decompress(io.BytesIO(packed[:size]), ending[1:], size).read()


def test_padding_behind_a_gz_is_no_damage() -> None:
    packed = gzip.compress(b"A text.") + bytes(5000)
    told: list[str] = []
    assert decompress(io.BytesIO(packed), "gz", len(packed), told.append).read() == b"A text." and not told


@pytest.mark.parametrize(
    "kind", [kind for kind in sorted(HONEST) if kind not in ("txt", "md", "html", "csv", "tsv", "warc", "tar", "mbox", "srt")]
)
def test_half_a_file_of_a_format_that_has_an_end_is_told(tmp_path: Path, kind: str) -> None:
    content = HONEST[kind]
    found = read_all(write(tmp_path / "shelf", {f"half.{kind}": content[: len(content) // 2 + 7], "z.txt": b"Z."}), tmp_path / "out")
    assert [path for path in found.reasons if path.startswith("half.")], "damage has a row"


@pytest.mark.parametrize("ending", sorted(ARCHIVERS))
def test_an_archive_cut_inside_a_header_is_told(tmp_path: Path, ending: str) -> None:
    tar = tarred({f"{name}.txt": b"x" * 512 for name in "abc"})
    content = ARCHIVERS[".zip"]({"a.txt": b"x"})[:-3] if ending == ".zip" else PACKERS[ending.removeprefix(".tar")](tar[: 2 * 1024 + 100])
    found = read_all(write(tmp_path / "shelf", {f"a{ending}": content, "z.txt": b"Z."}), tmp_path / "out")
    assert found.reasons[f"a{ending}"].startswith(("cut off: the archive ends inside the header of a member, after 2", "damaged archive"))


@pytest.mark.parametrize("mark", ["\ufeff", "\ufeff\ufeff \n", "\u200b", "\ufeff\u2060"])
def test_marks_alone_are_no_document_in_any_format(tmp_path: Path, mark: str) -> None:
    content = mark.encode()
    files = {"a.txt": content, "b.md": content, "c.html": content, "d.jsonl": jsonl([{"text": mark}, {"text": f"{mark}Text."}])}
    files |= {"e.txt": mark.encode("utf-16-le"), "f.epub": epub({"one": chapter(mark)}), "g.txt": f"{mark}Text.".encode()}
    found = read_all(write(tmp_path / "shelf", files), tmp_path / "out")
    assert sorted(found.texts) == ["d.jsonl#2", "g.txt"]
    assert {reason.partition(":")[0] for reason in found.reasons.values()} <= {"empty", "binary", "no text"}


def test_a_mark_is_no_part_of_a_text_whose_encoding_the_recipe_names(tmp_path: Path) -> None:
    found = read_all(write(tmp_path / "shelf", {"a.txt": b"\xef\xbb\xbfText."}), tmp_path / "out", encoding="utf-8")
    assert found.texts == {"a.txt": "Text."}


def test_entities_made_of_entities_are_hostile_and_plain_ones_are_not(tmp_path: Path) -> None:
    laughs = '<!DOCTYPE x [<!ENTITY l0 "lol"><!ENTITY l1 "&l0;&l0;"><!ENTITY l2 "&l1;&l1;">]>'
    page = "<?xml version='1.0'?>{}<html><body><p>Laughter: {}</p>{}</body></html>"
    files = {
        "laughs.epub": epub({"one": page.format(laughs, "&l2;", "")}),
        # What is no XML is read as HTML, where an entity of the page's own is plain text.
        "broken.epub": epub({"one": page.format(laughs, "&l2;", "<br>")}),
        "outer.epub": epub({"one": page.format('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', "&e;", "")}),
        "plain.epub": epub({"one": page.format('<!DOCTYPE x [<!ENTITY nbsp "&#160;">]>', "a&nbsp;b", "")}),
    }
    found = read_all(write(tmp_path / "shelf", files), tmp_path / "out")
    assert found.texts == {"plain.epub": "Laughter: a\N{NO-BREAK SPACE}b"}
    assert all("hostile epub: OPS/one.xhtml declares the entity" in reason for reason in found.reasons.values())


def test_a_chapter_that_the_spine_names_again_is_read_once(tmp_path: Path) -> None:
    book = epub({"one": chapter(prose("one")), "two": chapter(prose("two"))})
    with zipfile.ZipFile(io.BytesIO(book)) as opened:
        package = opened.read("OPS/p.opf").decode()
    repeated = package.replace('<itemref idref="one"/>', '<itemref idref="one"/>' * 20_000)
    again = epub({"one": chapter(prose("one")), "two": chapter(prose("two"))}, more={"OPS/p.opf": repeated})
    found = read_all(write(tmp_path / "shelf", {"a.epub": book, "b.epub": again}), tmp_path / "out")
    assert found.texts["b.epub"] == found.texts["a.epub"] and not found.reasons
