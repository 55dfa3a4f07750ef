"""Files that ordinary programs write give the words of their author. `files/keeper.*` were made by pandoc 3.9 from `files/keeper.md`."""

from __future__ import annotations

import io
import json
import mailbox
import re
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest

from data.sources.formats import FORMATS
from tests.data.sources.material import PACKERS, jsonl, prose, table, tarred, zipped
from tests.data.sources.reading import read_all, write

FILES = Path(__file__).parents[1] / "files"
KEEPER = {ending: (FILES / f"keeper.{ending}").read_bytes() for ending in ("docx", "odt", "rtf", "tex", "ipynb", "fb2", "tei")}
WORDS = re.compile(r"\w+")
SUBTITLES = {
    "a.srt": "1\n00:00:01,000 --> 00:00:02,000\n<i>Who goes there?</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nA keeper,\nof the light.\n",
    "b.vtt": "WEBVTT\n\n00:01.000 --> 00:02.000\nWho goes there?\n\n00:03.000 --> 00:04.000\nA keeper,\nof the light.\n",
    "c.ass": "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,Arial\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\i1}Who goes there?{\\i0}\n"
    "Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,A keeper,\\Nof the light.\n",
}


@pytest.fixture(scope="module")
def keepers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The document of each format, by its ending."""
    folder = write(tmp_path_factory.mktemp("shelf"), {f"keeper.{ending}": content for ending, content in KEEPER.items()})
    found = read_all(folder, tmp_path_factory.mktemp("out"), shards=2)
    assert not found.reasons
    return {path.partition(".")[2]: row for path, row in found.documents.items()}


@pytest.mark.parametrize("ending", KEEPER)
def test_a_document_gives_every_word_of_its_author_in_order_and_no_markup(keepers: dict[str, dict[str, str]], ending: str) -> None:
    row = keepers[ending]
    assert row["format"] == ending
    words = " ".join(WORDS.findall(row["text"]))
    for said in (
        "The first night The lighthouse on the western cape was lit for the first time in the autumn of that year",
        "Nobody in the village remembered who had built it or why its door faced the sea What he carried a lantern of brass a rope forty",
        "fathoms long tool weight axe four saw two Every evening the keeper climbed one hundred and forty steps and counted them aloud un",
        "deux trois éà The sea is a mirror roses are red violets are blue The end with",
        "Some say it was in spring and that the lamp smoked",
    ):
        assert said in words
    assert not re.search(r"\\[a-z]|[{}]|<[a-z/]|\bnone\b|footnote|Title|\x02|pandoc", row["text"])
    assert "\n\nEvery evening" in row["text"], "paragraphs stand apart"
    lines = row["text"].split("\n")
    if ending != "tex":
        assert [line for line in lines if re.fullmatch(r"(axe|saw) \| (four|two)( \|)?", line)] and "roses are red" in lines


def test_a_document_s_title_is_the_one_it_states(keepers: dict[str, dict[str, str]]) -> None:
    titles = {ending: row["title"] for ending, row in keepers.items()}
    assert {ending for ending, title in titles.items() if title == "The keeper of the light"} == {"docx", "odt", "rtf", "fb2", "tei", "tex"}
    assert titles["ipynb"] == "The first night"


def test_reading_a_document_twice_gives_the_same_text_on_any_day(keepers: dict[str, dict[str, str]]) -> None:
    assert not re.search(r"\b20\d\d\b", keepers["tex"]["text"]), "\\maketitle and \\today make up no date"


def test_documents_are_read_in_archives_and_compressed_and_a_cut_one_is_told(tmp_path: Path) -> None:
    files = {f"keeper.{ending}": content for ending, content in KEEPER.items()}
    packed = {f"{name}.gz": PACKERS[".gz"](content) for name, content in files.items()}
    found = read_all(write(tmp_path / "shelf", {"box.zip": zipped(files), "box.tar": tarred(files)} | packed), tmp_path / "out")
    assert not found.reasons and len(found.texts) == 3 * len(KEEPER)
    cut = {f"cut.{ending}": KEEPER[ending][: len(KEEPER[ending]) // 2] for ending in KEEPER if ending != "tex"}
    told = read_all(write(tmp_path / "cut", cut | {"z.txt": b"Z."}), tmp_path / "told")
    assert set(told.reasons) == set(cut)


def test_subtitles_give_what_is_said(tmp_path: Path) -> None:
    found = read_all(write(tmp_path / "shelf", {name: text.encode() for name, text in SUBTITLES.items()}), tmp_path / "out")
    assert found.texts == dict.fromkeys(SUBTITLES, "Who goes there?\nA keeper,\nof the light.")
    assert found.formats == dict.fromkeys(SUBTITLES, "subtitles")


def test_programs_are_read_where_they_are_asked_for_with_their_language(tmp_path: Path) -> None:
    folder = write(tmp_path / "shelf", {"a.py": b"def f():\n    return 1\n", "b.RS": b"fn main() {}\n", "c.txt": b"A text."})
    assert set(read_all(folder, tmp_path / "usual").texts) == {"c.txt"}
    found = read_all(folder, tmp_path / "out", formats=("code",))
    assert {path: row["programming_language"] for path, row in found.documents.items()} == {"a.py": "Python", "b.RS": "Rust"}
    assert found.texts["a.py"] == "def f():\n    return 1\n"


def _message(subject: str, text: str, html: str = "", attached: str = "") -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"] = subject, "ann@example.org"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    if attached:
        message.add_attachment(b"%PDF-1.4", maintype="application", subtype="pdf", filename=attached)
    return message


def test_a_mailbox_gives_its_messages_and_counts_what_hangs_on_them(tmp_path: Path) -> None:
    folder = tmp_path / "shelf"
    folder.mkdir()
    box = mailbox.mbox(folder / "a.mbox")
    box.add(_message("The light", "It is lit.\nFrom here on it burns.", "<p>It is <b>lit</b>.</p>"))
    only = EmailMessage()
    only["Subject"] = "Größe"
    only.set_content("<html><body><p>It is out.</p><p>Who did it?</p></body></html>", subtype="html", charset="latin-1")
    box.add(only)
    box.add(_message("The bill", "Attached.", attached="bill.pdf"))
    box.add(_message("Nothing", "\n"))
    box.close()
    found = read_all(folder, tmp_path / "out", shards=2)
    assert found.texts == {
        "a.mbox#1": "It is lit.\nFrom here on it burns.",
        "a.mbox#2": "It is out.\n\nWho did it?",
        "a.mbox#3": "Attached.",
    }
    assert {path: row["title"] for path, row in found.documents.items()} == {
        "a.mbox#1": "The light", "a.mbox#2": "Größe", "a.mbox#3": "The bill",
    }  # fmt: skip
    assert found.reasons == {
        "a.mbox#3.1": "attachment: bill.pdf, application/pdf; attachments are not read", "a.mbox#4": "empty: a message without words",
    }  # fmt: skip


def _dump(pages: str) -> bytes:
    return f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11"><siteinfo/>{pages}</mediawiki>'.encode()


def _page(number: int, title: str, text: str, space: int = 0, more: str = "") -> str:
    return (
        f"<page><title>{title}</title><ns>{space}</ns><id>{number}</id>{more}"
        f'<revision><id>{number}9</id><text xml:space="preserve">{text}</text></revision></page>'
    )


def test_a_dump_of_a_wiki_gives_its_articles_and_counts_its_other_pages(tmp_path: Path) -> None:
    article = (
        "{{Infobox|name=Cape}}'''The cape''' is [[west|western]].&lt;ref&gt;A note.&lt;/ref&gt;\n\n[[File:Cape.jpg|thumb|A [[cape]]]]\n"
        "== History ==\n* It was lit.\n\n{| class=&quot;wikitable&quot;\n| cell\n|}\n[[Category:Capes]]\nThe end."
    )
    pages = _page(1, "Cape", article) + _page(2, "Kap", "#REDIRECT [[Cape]]", more='<redirect title="Cape"/>')
    pages += _page(3, "Talk:Cape", "Is it?", space=1) + _page(4, "Stub", "{{stub}}")
    packed = {"wiki.xml": _dump(pages), "packed.xml.bz2": PACKERS[".bz2"](_dump(pages))}
    found = read_all(write(tmp_path / "shelf", packed), tmp_path / "out", shards=2)
    assert found.texts == dict.fromkeys(
        ("wiki.xml#1", "packed.xml.bz2#1"), "The cape is western.\n\nHistory\nIt was lit.\n\ncell\n\nThe end."
    )
    assert found.documents["wiki.xml#1"]["title"] == "Cape"
    assert {path: reason for path, reason in found.reasons.items() if path.startswith("wiki")} == {
        "wiki.xml#2": "redirect: Kap leads to Cape", "wiki.xml#3": "no article: Talk:Cape, of namespace 1", "wiki.xml#4": "empty: Stub",
    }  # fmt: skip
    cut = read_all(write(tmp_path / "cut", {"cut.xml": _dump(pages)[:-300], "z.txt": b"Z."}), tmp_path / "told")
    assert "cut.xml#1" in cut.texts and cut.reasons["cut.xml"].startswith("damaged mediawiki: after page")


def test_xml_is_what_its_root_element_says_and_of_no_known_kind_is_told(tmp_path: Path) -> None:
    files = {"tei.xml": KEEPER["tei"], "book.xml": KEEPER["fb2"], "other.xml": b'<?xml version="1.0"?><svg><text>Drawn.</text></svg>'}
    found = read_all(write(tmp_path / "shelf", files), tmp_path / "out")
    assert found.formats == {"tei.xml": "tei", "book.xml": "fb2"}
    assert found.reasons["other.xml"].startswith("not asked for: xml by its bytes")


def test_an_edition_in_tei_keeps_the_regular_reading_and_leaves_out_the_printer_s_furniture(tmp_path: Path) -> None:
    head = "<teiHeader><fileDesc><titleStmt><title>Emma</title></titleStmt></fileDesc></teiHeader>"
    choices = "<choice><orig>Vvoodhouse</orig><reg>Woodhouse</reg></choice>, <choice><sic>hansome</sic><corr>handsome</corr></choice>"
    page = f"<head>Chapter I</head><fw>EMMA. 3</fw><p>Emma {choices}.<note>So she is.</note></p><lg><l>Line one,</l><l>line two.</l></lg>"
    body = f'<?xml version="1.0"?><TEI xmlns="http://www.tei-c.org/ns/1.0">{head}<text><body>{page}</body></text></TEI>'
    found = read_all(write(tmp_path / "shelf", {"emma.xml": body.encode()}), tmp_path / "out")
    assert found.texts["emma.xml"] == "Chapter I\n\nEmma Woodhouse, handsome.[1]\n\nLine one,\nline two.\n\n[1] So she is."


def test_json_gives_the_objects_of_an_array_or_one_after_another(tmp_path: Path) -> None:
    rows = [{"text": prose(name), "n": 1.5} for name in "ab"]
    files = {
        "array.json": json.dumps(rows).encode(), "lines.json": jsonl(rows), "one.json": json.dumps(rows[0], indent=1).encode(),
        "marked.json": b"\xef\xbb\xbf" + json.dumps(rows).encode(), "mixed.json": json.dumps([1, rows[0], {"words": ""}]).encode(),
        "cut.json": json.dumps(rows).encode()[:-20], "none.json": b"[]",
    }  # fmt: skip
    found = read_all(write(tmp_path / "shelf", files), tmp_path / "out", shards=2)
    texts = [row["text"] for row in rows]
    expected = {f"{name}.json#{n}": texts[n - 1] for name in ("array", "lines", "marked") for n in (1, 2)}
    assert found.texts == expected | {"one.json#1": texts[0], "mixed.json#2": texts[0], "cut.json#1": texts[0]}
    assert found.reasons["mixed.json#1"] == "broken record: not a JSON object but a int" and "mixed.json#3" in found.reasons
    assert found.reasons["cut.json"].startswith("damaged json: after record 1") and found.reasons["none.json"].startswith("empty")


def test_a_field_may_lie_inside_an_object(tmp_path: Path) -> None:
    rows = [{"doc": {"text": prose(name), "meta": {"id": f"n{name}", "title": f"Title {name}"}}} for name in "ab"]
    files = {"a.jsonl": jsonl(rows), "b.json": json.dumps(rows).encode(), "c.parquet": table(rows), "d.jsonl": jsonl([{"doc": "flat"}])}
    keys = {"text_field": "doc.text", "id_field": "doc.meta.id", "title_field": "doc.meta.title"}
    found = read_all(write(tmp_path / "shelf", files), tmp_path / "out", shards=2, **keys)
    assert found.texts == {f"{file}#n{name}": prose(name) for file in ("a.jsonl", "b.json", "c.parquet") for name in "ab"}
    assert {row["title"] for row in found.documents.values()} == {"Title a", "Title b"} and set(found.reasons) == {"d.jsonl#record 1"}
    missing = read_all(write(tmp_path / "other", {"c.parquet": table(rows), "z.txt": b"Z."}), tmp_path / "missing", text_field="doc.words")
    assert missing.reasons["c.parquet"].startswith("no such column: doc.words")


def test_hostile_documents_are_refused(tmp_path: Path) -> None:
    entity = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    bomb = zipped({"word/document.xml": bytes(9 << 20)})
    office = io.BytesIO(KEEPER["odt"])
    with zipfile.ZipFile(office) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    hostile = members | {"content.xml": entity + members["content.xml"].partition(b"?>")[2]}
    files = {"bomb.docx": bomb, "bomb.odt": bomb, "entity.odt": zipped(hostile), "empty.docx": zipped({"a.txt": b"x"})}
    files |= {
        "tei.xml": entity + b"<TEI><text><body><p>&e;</p></body></text></TEI>",
        "fb2.fb2": entity + b"<FictionBook><body>&e;</body></FictionBook>",
    }
    found = read_all(write(tmp_path / "shelf", files | {"z.txt": b"Z."}), tmp_path / "out")
    assert set(found.texts) == {"z.txt"} and "root:" not in "".join(found.reasons.values())
    assert {name for name, reason in found.reasons.items() if "hostile" in reason} >= {"bomb.docx", "bomb.odt", "entity.odt", "fb2.fb2"}


def test_every_format_has_a_file_in_these_tests() -> None:
    ours = {"docx", "odt", "rtf", "tex", "ipynb", "fb2", "tei", "subtitles", "code", "mbox", "mediawiki", "json"}
    assert ours | {"txt", "md", "html", "epub", "pdf", "jsonl", "csv", "parquet", "warc"} == set(FORMATS)
