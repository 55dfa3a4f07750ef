"""Every format gives its text, alone, compressed and in archives, and the shards together give what one shard gives."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import get_args

import pytest

from data.sources.config import FilesSource, IngestConfig
from data.sources.errors import Unreadable
from data.sources.files import unpack_state
from data.sources.formats import FORMATS, Format
from data.sources.readers.record import BrokenRecord, ReaderOptions, Record
from data.sources.readers.registry import READERS
from data.sources.sharing import GROUPS
from tests.data.sources.material import (
    ARCHIVERS,
    PACKERS,
    chapter,
    epub,
    jsonl,
    locked_pdf,
    page,
    pdf,
    prose,
    separated,
    table,
    tarred,
    warc,
    zipped,
)
from tests.data.sources.reading import Shard, digests, limits, outcome, read_all, states, write

ROWS = [{"text": prose(f"row {number}"), "key": f"k{number}", "head": f"Head {number}"} for number in range(1, 8)]
WHOLE = {
    "a.txt": prose("plain").encode(),
    "b.md": f"---\ntags: [x]\n---\n# The *sea*\n\n{prose('marked')}\n\n- one\n- two\n\n```\nx = 1\n```\n".encode(),
    "c.html": page("web").encode(),
    "d.epub": epub({"one": chapter(prose("first")), "two": chapter(prose("second"))}, "The book"),
    "e.pdf": pdf(["The first page.\nIt goes on.", "The second page."]),
}
MANY = {
    "f.jsonl": jsonl(ROWS),
    "g.csv": separated(ROWS),
    "h.tsv": separated(ROWS, "\t"),
    "i.parquet": table(ROWS),
    "j.warc": warc(
        [("text/html; charset=utf-8", page("web", web=True).encode()), ("image/png", b"\x89PNG"), ("text/plain", prose("note").encode())]
    ),
}
OTHERS = {"j.warc#request": "not read: 3 of type request", "j.warc#response of image/png": "not read: 1 of type response of image/png"}
RECORDS = {f"{name}#{number}": row["text"] for name in ("f.jsonl", "g.csv", "h.tsv", "i.parquet") for number, row in enumerate(ROWS, 1)}


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A file of each format."""
    return write(tmp_path / "shelf", WHOLE | MANY)


def test_each_format_gives_its_text_and_says_what_it_was_read_as(shelf: Path, tmp_path: Path) -> None:
    found = read_all(shelf, tmp_path / "out")
    expected = RECORDS | {
        "a.txt": prose("plain"),
        "b.md": f"The sea\n\n{prose('marked')}\n\n- one\n- two\n\nx = 1",
        "c.html": prose("web"),
        "d.epub": f"{prose('first')}\n\n{prose('second')}",
        "e.pdf": "The first page.\nIt goes on.\n\f\nThe second page.",
        "j.warc#2": prose("web"),
        "j.warc#6": prose("note"),
    }
    assert found.texts == expected and found.reasons == OTHERS
    assert set(found.formats.values()) == {"txt", "md", "html", "epub", "pdf", "jsonl", "csv", "parquet", "warc"}
    assert {path: found.documents[path]["title"] for path in ("b.md", "c.html", "d.epub", "j.warc#2", "f.jsonl#3")} == {
        "b.md": "The sea", "c.html": "The tale of web", "d.epub": "The book", "j.warc#2": "The tale of web", "f.jsonl#3": "f 3",
    }  # fmt: skip
    assert found.documents["j.warc#6"]["url"] == "http://example.org/2"


@pytest.mark.parametrize("shards", [2, 5])
def test_the_shards_together_are_what_one_shard_gives_in_every_format(shelf: Path, tmp_path: Path, shards: int) -> None:
    write(
        shelf,
        {"k.zip": zipped(WHOLE), "l.tar": tarred(MANY), "m.jsonl": b'{"text": 1}\n{"text": "A good one."}\n', "n.csv": b"no,columns\n"},
    )
    one, many = read_all(shelf, tmp_path / "one"), read_all(shelf, tmp_path / "many", shards)
    assert many == one
    assert list(many.documents) == list(one.documents), "ids ascend through the shards"
    assert set(one.reasons) == {"m.jsonl#1", "n.csv", *OTHERS, *(f"l.tar/{name}" for name in OTHERS)}


def test_threads_memory_and_the_order_of_records_change_no_byte(shelf: Path, tmp_path: Path) -> None:
    from data.sources.config import IngestConfig
    from data.sources.ingest import IngestInputs, ingest

    config = IngestConfig(sources=(FilesSource(name="shelf", paths=(".",), id_field="key", formats=("jsonl",)),), shards=1)
    made = {}
    for name, order, threads, memory in (("one", 1, 1, "100MB"), ("two", -1, 3, "1GB")):
        write(tmp_path / name, {"f.jsonl": jsonl(ROWS[::order])})
        ingest(config, tmp_path / f"{name}-out", IngestInputs(tmp_path / name, tmp_path), **limits(tmp_path / "s", threads, memory))
        made[name] = [(tmp_path / f"{name}-out" / f"{file}.parquet").read_bytes() for file in ("documents", "ledger", "quarantine")]
    assert made["one"] == made["two"]


@pytest.mark.parametrize("ending", PACKERS)
def test_a_file_is_read_the_same_in_every_compression(tmp_path: Path, ending: str) -> None:
    folder = write(tmp_path / "shelf", {f"{name}{ending}": PACKERS[ending](content) for name, content in (WHOLE | MANY).items()})
    plain = read_all(write(tmp_path / "plain", WHOLE | MANY), tmp_path / "a").texts
    packed = read_all(folder, tmp_path / "b")
    assert {path.replace(ending, "") if ending else path: text for path, text in packed.texts.items()} == plain
    assert packed.reasons == {name.replace("#", f"{ending}#", 1): reason for name, reason in OTHERS.items()}


@pytest.mark.parametrize("ending", ARCHIVERS)
def test_members_of_an_archive_are_read_as_files_are_packed_or_not(tmp_path: Path, ending: str) -> None:
    members = WHOLE | MANY | {"deep/z.txt.gz": PACKERS[".gz"](b"A deep text."), "deep/q.jsonl.zst": PACKERS[".zst"](MANY["f.jsonl"])}
    members |= {"r.parquet.bz2": PACKERS[".bz2"](MANY["i.parquet"]), "picture.png": b"\x89PNG"}
    folder = write(tmp_path / "shelf", {f"box{ending}": ARCHIVERS[ending](members)})
    plain = read_all(write(tmp_path / "plain", members), tmp_path / "a").texts
    found = read_all(folder, tmp_path / "b", shards=2)
    assert {path.removeprefix(f"box{ending}/"): text for path, text in found.texts.items()} == plain
    assert found.reasons == {f"box{ending}/{name}": reason for name, reason in OTHERS.items()}


def test_records_are_called_by_their_field_and_titled_by_another(shelf: Path, tmp_path: Path) -> None:
    found = read_all(shelf, tmp_path / "out", shards=3, formats=("jsonl", "csv", "parquet"), id_field="key", title_field="head")
    assert found.texts == {f"{name}#{row['key']}": row["text"] for name in ("f.jsonl", "g.csv", "h.tsv", "i.parquet") for row in ROWS}
    assert found.documents["i.parquet#k3"]["title"] == "Head 3"


def test_a_file_of_records_is_unpacked_by_one_group_and_any_other_read_by_one_shard(shelf: Path) -> None:
    config = IngestConfig(sources=(FilesSource(name="shelf", paths=(".",)),), shards=4)
    groups = [unpack_state(config, shelf, Shard(number, GROUPS), digests) for number in range(GROUPS)]
    assert sorted(name for state in states(config, shelf) for name in state) == sorted(f"shelf/{name}" for name in WHOLE)
    assert sorted(name for state in groups for name in state) == sorted(f"shelf/{name}" for name in MANY)


def test_a_file_without_text_is_quarantined_with_its_own_reason(tmp_path: Path) -> None:
    files = {
        "scan.pdf": pdf(["", ""]),
        "locked.pdf": locked_pdf(),
        "script.html": b"<html><body><script>let x = 1</script></body></html>",
        "front.md": b"---\nonly: this\n---\n",
        "empty.jsonl": b"",
        "no_pages.epub": epub({}),
        "no_chapter.epub": epub({"one": chapter("Text.")}, more={"OPS/p.opf": epub_package("gone")}),
        "pictures.warc": warc([("image/png", b"\x89PNG")]),
        "other.csv": b"a,b\n1,2\n",
        "other.parquet": table([{"a": 1}]),
        "numbers.parquet": table([{"text": 1}]),
    }
    found = read_all(write(tmp_path / "shelf", files), tmp_path / "out")
    assert not found.texts
    kinds = {path: reason.partition(":")[0] for path, reason in found.reasons.items()}
    assert kinds == {
        "scan.pdf": "no text layer", "locked.pdf": "encrypted", "script.html": "no text", "front.md": "empty", "empty.jsonl": "empty",
        "no_pages.epub": "no text", "no_chapter.epub": "damaged epub", "pictures.warc": "no text", "pictures.warc#request": "not read",
        "pictures.warc#response of image/png": "not read", "other.csv": "no such column",
        "other.parquet": "no such column", "numbers.parquet": "no text",
    }  # fmt: skip


def epub_package(missing: str) -> str:
    """Return a package whose spine names a missing chapter."""
    return f'<package xmlns="http://www.idpf.org/2007/opf"><manifest/><spine><itemref idref="{missing}"/></spine></package>'


def test_a_broken_record_costs_itself_alone(tmp_path: Path) -> None:
    good = json.dumps({"text": "A good one."})
    files = {
        "a.jsonl": f'{good}\nno json\n{{"text": 3}}\n[1]\n{good}\n{{"text": ""}}\n'.encode() + b'{"a":' * 100_000 + f"\n{good}\n".encode(),
        "b.csv": b'text,n\n"A good one.",1\nx\n"bad"quote,2\n"A good one.",3\n"never closed,4\nA good one.,5\n',
        "c.parquet": table([{"text": "A good one."}, {"text": None}, {"text": " "}]),
        "d.warc": warc([("text/html", b""), ("text/plain", b"A good one.")]),
        "e.warc": warc([("text/plain", b"Gone.")], "404 Not ReaderOutput"),
    }
    found = read_all(write(tmp_path / "shelf", files), tmp_path / "out", shards=2)
    assert set(found.texts.values()) == {"A good one."}
    assert sorted(found.texts) == ["a.jsonl#1", "a.jsonl#5", "a.jsonl#8", "b.csv#1", "b.csv#4", "b.csv#6", "c.parquet#1", "d.warc#4"]
    broken = {f"a.jsonl#{n}" for n in (2, 3, 4, 6, 7)} | {f"b.csv#{n}" for n in (2, 3, 5)} | {"c.parquet#2", "c.parquet#3"}
    assert set(found.reasons) == broken | {"d.warc#2", "e.warc#2", "d.warc#request", "e.warc#request"}
    assert found.reasons["a.jsonl#7"] == "broken record: nested too deeply"
    assert found.reasons["e.warc#2"] == "no success: HTTP status 404"


def test_two_records_of_one_name_are_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", {"a.jsonl": jsonl([{"text": "One.", "key": 1}, {"text": "Two.", "key": 1}])})
    with pytest.raises(ValueError, match=r"two records are both shelf/a\.jsonl#1: `id_field` must differ"):
        read_all(folder, tmp_path / "out", id_field="key")


def test_a_file_s_bytes_decide_its_format_and_its_name_where_they_cannot(tmp_path: Path) -> None:
    files = {
        "pdf.txt": WHOLE["e.pdf"],
        "page.md": WHOLE["c.html"],
        "book.zip": WHOLE["d.epub"],
        "text.pdf": b"Just a text.",
        "packed.txt": PACKERS[".xz"](b"A packed text."),
        "plain.txt.gz": b"A plain text.",
        "rows.csv": MANY["i.parquet"],
        "page.jsonl": WHOLE["c.html"],
        "rows.txt": MANY["i.parquet"],
        "box.txt": zipped({"a.txt": b"A text."}),
        "note.warc": b"This is no web archive.",
    }
    found = read_all(write(tmp_path / "shelf", files), tmp_path / "out", shards=3)
    read_as = {"pdf.txt": "pdf", "page.md": "html", "book.zip": "epub", "text.pdf": "txt", "packed.txt": "txt", "plain.txt.gz": "txt"}
    assert found.formats == read_as | {"page.jsonl": "html"} | {f"rows.csv#{n}": "parquet" for n in range(1, 8)}
    assert found.reasons["rows.txt"] == "wrong extension: parquet by its bytes, txt by its name; give a file of records its own extension"
    assert set(found.reasons) == {"rows.txt", "box.txt", "note.warc"}
    refused = read_all(tmp_path / "shelf", tmp_path / "some", formats=("txt",))
    assert refused.reasons["pdf.txt"] == "not asked for: pdf by its bytes, txt by its name; pdf is not among `formats`, txt"
    assert "page.md" not in refused.reasons, "a folder gives the files whose extension fits"
    assert set(refused.texts) == {"packed.txt", "plain.txt.gz"}


@pytest.mark.parametrize("key", ["text_field", "id_field", "title_field"])
def test_keys_of_fields_are_refused_where_no_format_has_fields(key: str) -> None:
    with pytest.raises(ValueError, match=rf"{key}='body' does nothing while formats=\['html', 'txt'\].*csv, json, jsonl, parquet"):
        FilesSource.model_validate({"paths": ["."], "formats": ["txt", "html"], key: "body"})
    with pytest.raises(ValueError, match=r"encoding='ascii' does nothing while formats=\['pdf'\]"):
        FilesSource(paths=(".",), formats=("pdf",), encoding="ascii")
    with pytest.raises(ValueError, match="join='x' does nothing while"):
        FilesSource(paths=(".",), formats=("jsonl",), join="x")


def test_parts_of_a_work_may_be_of_several_formats_and_lie_in_an_archive(tmp_path: Path) -> None:
    members = {"Emma_2.html": page("second").encode(), "Emma_1.html": page("first").encode(), "Ada_1.txt": b"Alone."}
    found = read_all(write(tmp_path / "shelf", {"box.zip": zipped(members)}), tmp_path / "out", join=r"_\d$")
    assert found.texts == {"box.zip/Emma.html": f"{prose('first')}\n\n{prose('second')}", "box.zip/Ada.txt": "Alone."}
    assert found.documents["box.zip/Emma.html"]["parts"] == 2 and found.metrics["joined_parts"] == 2


def test_an_explicit_ending_is_read_whatever_it_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", {"a.asc": b"A text.", "b.asc": WHOLE["e.pdf"], "c.txt": b"Another."})
    assert read_all(folder, tmp_path / "out", paths=("*.asc",)).formats == {"a.asc": "txt", "b.asc": "pdf"}
    assert set(read_all(folder, tmp_path / "all").texts) == {"c.txt"}


def test_a_document_in_utf16_and_a_table_in_an_old_encoding_are_read(tmp_path: Path) -> None:
    text = "Żółta łódź płynie ku świętej wyspie, a jeździec śpi."
    files = {
        "a.jsonl": jsonl([{"text": text}]).decode().encode("utf-16"),
        "b.csv": separated([{"text": text}] * 9).decode().encode("iso8859-2"),
        "c.html": page("x").replace("<title>", '<meta charset="iso-8859-2"><title>').replace("keeper", text).encode("iso8859-2"),
    }
    found = read_all(write(tmp_path / "shelf", files), tmp_path / "out")
    assert found.texts["a.jsonl#1"] == text == found.texts["b.csv#9"]
    assert text in found.texts["c.html"]


def test_an_archive_without_any_wanted_format_is_quarantined_by_name(tmp_path: Path) -> None:
    from data.sources.config import IngestConfig

    folder = write(tmp_path / "shelf", {"box.zip": zipped({"a.png": b"\x89PNG"})})
    found = outcome(IngestConfig(sources=(FilesSource(paths=(".",)),), shards=1), folder, tmp_path / "out")
    assert found.reasons["box.zip"].startswith("not asked for: no member of this archive ends like one of txt, md")


def test_every_format_that_a_recipe_may_name_is_one_that_is_read() -> None:
    assert get_args(Format) == FORMATS


BOOK = """<html><head><title>Verses</title></head><body><h1>Verses</h1><h2>The first</h2>
<div class="poem"><div class="stanza"><div class="verse">The sea is wide,</div><div class="verse">the boat is small,</div></div>
<div class="stanza"><span class="i0">and no one tells<br></span><span class="i2">the tide at all.<br></span></div></div>
<table><caption>The harbours</caption><tr><td>Velden</td><td>9</td></tr></table>
<center>* * *</center><ul><li>one</li><li>two</li></ul><aside>A note.</aside><footer>The end</footer></body></html>"""


def test_a_page_is_read_whole_and_main_text_is_for_sources_that_ask_for_it(tmp_path: Path) -> None:
    whole = next(READERS["html"](io.BytesIO(BOOK.encode()), ReaderOptions(), lambda _: True))
    assert isinstance(whole, Record)
    assert whole.text == (
        "Verses\n\nThe first\n\nThe sea is wide,\nthe boat is small,\n\nand no one tells\nthe tide at all.\n\nThe harbours\n\n"
        "Velden | 9\n\n* * *\n\n- one\n- two\n\nA note.\n\nThe end"
    )
    web = page("web", web=True).encode()
    main, *_ = READERS["html"](io.BytesIO(web), ReaderOptions(pages="main"), lambda _: True)
    assert isinstance(main, Record) and main.text == prose("web")
    all_of_it, menu = READERS["html"](io.BytesIO(web), ReaderOptions(), lambda _: True)
    assert isinstance(all_of_it, Record) and all_of_it.text == f"{prose('web')}\n\nAll rights reserved"
    assert isinstance(menu, BrokenRecord) and menu.reason == "not read: navigation, 54 characters in 1 place"


@pytest.mark.parametrize("levels", [300, 2000])
def test_text_deep_inside_a_page_is_read(levels: int) -> None:
    deep = f"<html><body>{'<div>' * levels}deep{'</div>' * levels}<p>after</p></body></html>"
    record = next(READERS["html"](io.BytesIO(deep.encode()), ReaderOptions(), lambda _: True))
    assert isinstance(record, Record) and record.text == "deep\n\nafter"


def test_a_page_deeper_than_can_be_read_is_refused_whole() -> None:
    deep = f"<html><body><p>before</p>{'<div>' * 9000}deep{'</div>' * 9000}</body></html>"
    with pytest.raises(Unreadable, match="deep"):
        list(READERS["html"](io.BytesIO(deep.encode()), ReaderOptions(), lambda _: True))
