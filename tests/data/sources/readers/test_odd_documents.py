"""Documents whose markup is right and rarely seen: no word of their author is lost, and what is left out is told."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path

import pytest

from data.sources.errors import Unreadable
from data.sources.readers.record import BrokenRecord, ReaderOptions, ReaderOutput, Record
from data.sources.readers.registry import READERS
from tests.data.sources.material import zipped
from tests.data.sources.reading import read_all, write

KEEPER = (Path(__file__).parents[1] / "files" / "keeper.docx").read_bytes()


def _read(kind: str, content: str) -> list[ReaderOutput]:
    return list(READERS[kind](io.BytesIO(content.encode()), ReaderOptions(), lambda _: True))


def test_a_page_of_blank_lines_in_latex_is_read_at_once() -> None:
    started = time.process_time()
    (record,) = _read("tex", "It is lit." + "\n" * 50_000 + "It is out.")
    assert getattr(record, "text", "") == "It is lit.\n\nIt is out." and time.process_time() - started < 5


def test_listings_that_never_end_and_labels_inside_labels_are_read_at_once() -> None:
    started = time.process_time()
    (record,) = _read("tex", "\\begin{lstlisting} lit\n" * 20_000)
    assert getattr(record, "text", "").count("lit") == 20_000
    deep, *_ = _read("tex", "It is lit. " + "\\item[{" * 5_000 + "deep" + "}]" * 5_000 + " It is out.")
    text = getattr(deep, "text", "")
    assert text.startswith("It is lit.") and "deep" in text and text.endswith("It is out.") and time.process_time() - started < 10


# Behind a list that is too deep markdown-it passes over the rest of the document, which then counts as well.
@pytest.mark.parametrize(("mark", "levels", "text", "told"), [("> ", 90, "Begin.\n\nEnd.", "4,004"), ("- ", 45, "Begin.", "4,009")])
def test_quotes_and_lists_in_markdown_are_read_as_deep_as_anyone_writes_and_what_is_deeper_is_told(
    mark: str, levels: int, text: str, told: str
) -> None:
    assert "found" in _text("md", "Begin.\n\n" + mark * levels + "found")
    record, row = _read("md", "Begin.\n\n" + mark * 2_000 + "lost\n\nEnd.")
    assert getattr(record, "text", "") == text and isinstance(row, BrokenRecord)
    assert row.reason == f"not read: text too deep in quotes and lists, {told} characters in 1 place, in line 3"


def test_markdown_of_which_all_is_too_deep_is_set_aside_as_such() -> None:
    with pytest.raises(Unreadable, match="too deep: all of its text is in more than 100 levels of quotes and lists"):
        _read("md", "> " * 2_000 + "lost")


def _text(kind: str, content: str) -> str:
    record, *_ = _read(kind, content)
    assert isinstance(record, Record)
    return record.text


EXERCISE = "---\n## Exercise 3\n\nExplain why.\n\n---\nThe end."


@pytest.mark.parametrize("source", [EXERCISE, EXERCISE.replace("\n", "\r\n")])
def test_text_between_two_rules_is_no_front_matter(source: str) -> None:
    assert _text("md", source) == "Exercise 3\n\nExplain why.\n\nThe end."


@pytest.mark.parametrize(
    "matter", ["title: A", "# of pandoc\n\ntitle: |\n  A\n\n  B\n'tags':\n- a\n- b\nurl: http://x.org", "date:\n  - 1"]
)
def test_front_matter_of_keys_is_no_text(matter: str) -> None:
    for end in ("---", "..."):
        assert _text("md", f"---\n{matter}\n{end}\nThe text.") == "The text."


def test_a_cell_of_a_notebook_has_no_front_matter() -> None:
    cells = [{"cell_type": "markdown", "source": source} for source in (EXERCISE, "---\nnote: this\n\n---\n")]
    assert _text("ipynb", json.dumps({"cells": cells})) == "Exercise 3\n\nExplain why.\n\nThe end.\n\nnote: this"


TEX = "\\documentclass{article}\n%s\\begin{document}\nIt is lit, at 5 \\%% of its power.\n%s\nIt is out.\n\\end{document}\n%s"


@pytest.mark.parametrize(
    "hidden",
    [
        "% \\end{document} of old", "\\begin{verbatim}\n\\end{document}\n\\end{verbatim}", "\\verb|\\end{document}| ends it.",
        "\\\\% \\end{document}",
    ],
)  # fmt: skip
def test_an_end_of_document_that_latex_would_not_read_ends_no_text(hidden: str) -> None:
    record, *told = _read("tex", TEX % ("% \\begin{document}\n", hidden, "% Local variables:\n% \\end{document}\n"))
    assert {getattr(row, "name", "") for row in told} <= {"preamble", "comments"}
    assert isinstance(record, Record) and record.text.startswith("It is lit, at 5 %") and record.text.endswith("It is out.")


def test_what_stands_behind_the_end_of_a_document_in_latex_is_told() -> None:
    record, _, told = _read("tex", TEX % ("", "", "% A comment.\nOld words.\n"))
    assert isinstance(record, Record) and "Old" not in record.text
    assert told == BrokenRecord(r"behind the end: 10 characters follow \end{document}; LaTeX does not read them", "behind the end")


def _tei(body: str) -> str:
    return _text("tei", f'<TEI xmlns="http://www.tei-c.org/ns/1.0"><text><body>{body}</body></text></TEI>')


@pytest.mark.parametrize(
    "note", ["See <hi>Smith</hi>, p. 2.", "<lb/>See <hi>Smith</hi>, p. 2.", "<p>See <hi>Smith</hi>, p. 2.</p>", "<hi>See</hi> Smith, p. 2."]
)
def test_the_label_of_a_note_stands_before_its_first_word(note: str) -> None:
    assert _tei(f"<p>Foo<note>{note}</note> bar.</p>") == "Foo[1] bar.\n\n[1] See Smith, p. 2."


@pytest.mark.parametrize(
    "readings",
    [
        "<lem>old</lem><rdg>new</rdg>", "\n <lem>old</lem>\n <rdg>new</rdg>\n", "<rdg>new</rdg><lem>old</lem>",
        "<rdg>old</rdg><rdgGrp><rdg>new</rdg></rdgGrp>", "<lem>o<app><lem>ld</lem><rdg>dd</rdg></app></lem><rdg>new</rdg>",
    ],
)  # fmt: skip
def test_of_the_readings_of_a_passage_the_editor_s_is_kept_or_else_the_first(readings: str) -> None:
    assert _tei(f"<p>The <app>{readings}</app>.</p>") == "The old."


def _docx(body: str, note: str) -> list[ReaderOutput]:
    spaces = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    with zipfile.ZipFile(io.BytesIO(KEEPER)) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    members["word/document.xml"] = f"<w:document {spaces}><w:body>{body}</w:body></w:document>".encode()
    members["word/footnotes.xml"] = f'<w:footnotes {spaces}><w:footnote w:id="2">{note}</w:footnote></w:footnotes>'.encode()
    return list(READERS["docx"](io.BytesIO(zipped(members)), ReaderOptions(), lambda _: True))


def test_fields_formulas_and_directions_in_docx_keep_their_words_and_unknown_elements_are_told() -> None:
    def run(text: str) -> str:
        return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'

    formula = "<m:oMathPara><m:oMath><m:r><m:t>x=1</m:t></m:r></m:oMath></m:oMathPara>"
    inside = f'<w:fldSimple w:instr="REF a">{run("Table ")}<w:bdo>{run("2 ")}</w:bdo></w:fldSimple><w:dir>{run("says ")}</w:dir>{formula}'
    mark = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    record, told = _docx(f"<w:p>{inside}{mark}<w:odd>{run('Lost.')}</w:odd></w:p>", f"<w:p>{inside}</w:p>")
    assert isinstance(record, Record) and record.text.count("Table 2 says x=1") == 2
    assert told == BrokenRecord("not read: w:odd elements, 5 characters in 1 place", "w:odd elements")


def test_an_rtf_font_for_a_script_decides_without_a_charset(tmp_path: Path) -> None:
    words = "".join(f"\\'{byte:02x}" for byte in "Старый смотритель".encode("cp1251"))
    named = rf"{{\rtf1\ansi{{\fonttbl{{\f0 Times;}}{{\f1 Times Cyr;}}}}\f1 {words}}}"
    paged = rf"{{\rtf1\ansi\ansicpg1251{{\fonttbl{{\f0\fcharset0 Times;}}}}\f0 {words}}}"
    found = read_all(write(tmp_path / "shelf", {"a.rtf": named.encode(), "b.rtf": paged.encode()}), tmp_path / "out")
    assert list(found.texts.values()) == ["Старый смотритель"] * 2


@pytest.mark.parametrize("encoding", ["cp1250", "iso8859_2"])
@pytest.mark.parametrize("text", ["Příliš žluťoučký kůň úpěl ďábelské ódy", "Zażółć gęślą jaźń"])
def test_one_sentence_in_a_language_of_central_europe_is_told_by_its_letters(tmp_path: Path, encoding: str, text: str) -> None:
    found = read_all(write(tmp_path / "shelf", {"a.txt": text.encode(encoding)}), tmp_path / "out")
    assert list(found.texts.values()) == [text]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('<text:hidden-paragraph text:is-hidden="true"/><text:p>It is lit.</text:p>', "It is lit."),
        ('<text:p>It<text:s text:c="²"/>is lit.</text:p>', "It is lit."),
        (f'<text:p>It<text:s text:c="{"9" * 5000}"/>is lit.</text:p>', "It is lit."),
        ('<text:p>It<text:s text:c="0"/> is lit.</text:p>', "It is lit."),
    ],
    ids=["a mark in no paragraph", "no number of spaces", "a number without end", "no spaces"],
)
def test_an_odt_with_marks_in_odd_places_keeps_its_words(body: str, text: str) -> None:
    names = "".join(f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "text"))
    content = f"<office:document-content{names}><office:body><office:text>{body}</office:text></office:body></office:document-content>"
    members = {"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": content.encode()}
    (record,) = READERS["odt"](io.BytesIO(zipped(members)), ReaderOptions(), lambda _: True)
    assert getattr(record, "text", "") == text
