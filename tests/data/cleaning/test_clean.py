"""Each cleaning rule on a small text, and the properties that hold for all of them together."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.cleaning.clean import clean
from data.cleaning.config import CleanConfig
from data.documents.stream import BATCH_CHARACTERS
from tests.data.dedup.books import bytes_of, texts_of, write

OFF = {
    name: False for name in ("encoding", "characters", "quotes", "boilerplate", "corrupted", "repeated_pages", "page_numbers", "contents")
}
OFF |= {"running_heads": False, "hyphenation": False, "unwrap": False, "ocr": False}
PROSE = (
    "The river ran past the mill and under the old stone bridge, where\n"
    "the children of the village came in summer to catch small fish\n"
    "with their hands, and where the miller's dog slept all day in the\n"
    "sun and woke only when a cart went over the stones above it.\n"
)
MORE = 5
VERSE = "The river ran along the land,\nAnd no one heard it go;\nThe miller held it in his hand\nAnd let it softly flow.\n"


def _clean(folder: Path, texts: dict[str, str], *, threads: int = 1, batch: int = BATCH_CHARACTERS, **rules: Any) -> Path:
    config = CleanConfig.model_validate({"minimum_characters": 1, "dashes": "keep", **OFF, **rules})
    documents = write(folder / "in", texts)
    clean(documents, folder / "out", config, threads=threads, memory="500MB", scratch=folder / "scratch", batch=batch)
    return folder / "out"


def _all(folder: Path, texts: dict[str, str], *, threads: int = 1, batch: int = BATCH_CHARACTERS, **rules: Any) -> Path:
    return _clean(folder, texts, threads=threads, batch=batch, **{"dashes": "em", **dict.fromkeys(OFF, True), **rules})


def _rows(output: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(output / f"{name}.parquet").to_pylist()
    return found


RULES = [
    ("encoding", True, "The cafÃ© was shut, and heâ€™d gone.", "The café was shut, and he’d gone."),
    ("encoding", True, "Salt &amp; bread, a caf&eacute;; R&D stays.", "Salt & bread, a café; R&D stays."),
    ("characters", True, "The ﬁrst\u200b  cafe\u0301\tis o\u00adpen.", "The first café is open."),
    ("quotes", True, "“He’s here,” she said, ``at last.''", '"He\'s here," she said, "at last."'),
    ("dashes", "em", "He came -- and went – in 1914–1918.", "He came — and went — in 1914-1918."),
    ("corrupted", True, "It was late.\n\n#@^%~|<>{}#@^%~|\n\n* * *\n\nHe slept.", "It was late.\n\n* * *\n\nHe slept."),
    ("hyphenation", True, "He saw the won-\nderful bridge.\n", "He saw the wonderful bridge."),
    ("unwrap", True, PROSE, PROSE.strip().replace("\n", " ")),
    ("unwrap", True, PROSE.replace("\n", "\r\r\n"), PROSE.strip().replace("\n", " ")),
    ("unwrap", True, PROSE + "\n" + VERSE, PROSE.strip().replace("\n", " ") + "\n\n" + VERSE.strip()),
    (
        "unwrap",
        True,
        PROSE + "2:20 For ye are our glory and joy, it is said of them in the book;\n* and of the others.\n",
        PROSE.strip().replace("\n", " ") + "\n2:20 For ye are our glory and joy, it is said of them in the book;\n* and of the others.",
    ),
    ("chapter_titles", "drop", "CHAPTER IV. The Mill\n\nHe slept.", "He slept."),
    (
        "chapter_titles",
        "mark",
        "CHAPTER IV. The Mill\nHe slept.\n\nAct II, Scene 1\n\n# CHAPTER V\n\nOn.",
        "# CHAPTER IV. The Mill\n\nHe slept.\n\n# Act II, Scene 1\n\n# CHAPTER V\n\nOn.",
    ),
    (
        "chapter_titles",
        "drop",
        "Book the second lay open\nupon the table\nbeside the lamp\nand he read.",
        "Book the second lay open\nupon the table\nbeside the lamp\nand he read.",
    ),
    (
        "contents",
        True,
        "CONTENTS\n\nI. The Mill\nII. The River\nIII. Home\n\nI. The Mill\n\nHe slept.\n\nII. The River\n\nIt ran.\n\nIII. Home\n\nOn.",
        "I. The Mill\n\nHe slept.\n\nII. The River\n\nIt ran.\n\nIII. Home\n\nOn.",
    ),
    (
        "contents",
        True,
        "By A. Miller\n\n" + "".join(f"Tale {k} . . . . {9 * k}\n" for k in range(1, 8)) + "\nHe slept.",
        "By A. Miller\n\nHe slept.",
    ),
    ("contents", True, "Table of Contents\nPAGE\nThe Mill, of which more is said 3\nThe River 10\nHome 31\n\nHe slept.", "He slept."),
    (
        "contents",
        True,
        "He read the contents.\n\nContents\n\nshe said, and he saw three names and a date.\n\nHe slept.",
        "He read the contents.\n\nContents\n\nshe said, and he saw three names and a date.\n\nHe slept.",
    ),
    ("boilerplate", True, "This eBook is in the public domain\n\n*** START OF THIS PROJECT GUTENBERG EBOOK\n\nHe slept.", "He slept."),
    ("boilerplate", True, "Produced by A. Typist\n\nHe slept.\n\nEnd of the Project Gutenberg EBook of It", "He slept."),
]


@pytest.fixture(scope="module")
def by_rule(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Every row of RULES cleaned with its rule alone."""
    found: dict[int, str] = {}
    for rule in {(name, setting) for name, setting, _, _ in RULES}:
        texts = {f"{k:02}": text for k, (*mine, text, _) in enumerate(RULES) if tuple(mine) == rule}
        for name, text in texts.items():
            folder = tmp_path_factory.mktemp("rule")
            setting: dict[str, Any] = {rule[0]: rule[1]}
            found[int(name)] = texts_of(_clean(folder, {name: text}, **setting))[name]
    return found


@pytest.mark.parametrize("case", range(len(RULES)), ids=lambda case: f"{RULES[case][0]}-{case}")
def test_each_rule_alone_makes_its_edit(case: int, by_rule: dict[int, str]) -> None:
    assert by_rule[case] == RULES[case][3]


def _book(pages: int, head: str = "THE OLD MILL") -> tuple[str, list[str]]:
    """A printed book, whose page numbers and running heads interrupt its sentences; and its true lines."""
    sheets, lines = [], []
    for page in range(1, pages + 1):
        text = [f"on day {chr(97 + page)}{chr(97 + k)} the miller saw the river rise and wrote it down in his book" for k in range(20)]
        lines += text
        sheets.append("\n".join([head, "", *text, "", str(page + 4), ""]))
    return "\n".join(sheets), lines


def test_page_numbers_and_running_heads_are_removed_and_every_line_of_text_stays(tmp_path: Path) -> None:
    book, lines = _book(8)
    cleaned = texts_of(_clean(tmp_path, {"a": book}, page_numbers=True, running_heads=True, unwrap=True))["a"]
    assert cleaned.removeprefix("THE OLD MILL").split() == " ".join(lines).split()


def test_page_numbers_alone_are_removed_with_every_other_rule_off(tmp_path: Path) -> None:
    book, lines = _book(8)
    cleaned = texts_of(_clean(tmp_path, {"a": book}, page_numbers=True))["a"]
    assert [line for line in cleaned.split("\n") if line] == [
        line for k in range(8) for line in ("THE OLD MILL", *lines[20 * k : 20 * k + 20])
    ]


@pytest.mark.parametrize("off", OFF)
def test_any_one_rule_can_be_switched_off(off: str, tmp_path: Path) -> None:
    book, lines = _book(6)
    cleaned = texts_of(_clean(tmp_path, {"a": book}, dashes="em", **(dict.fromkeys(OFF, True) | {off: False})))["a"]
    assert all(line in " ".join(cleaned.split()) for line in lines)


def test_a_page_scanned_twice_is_removed_and_in_the_ledger(tmp_path: Path) -> None:
    book, lines = _book(6)
    sheets = book.split("THE OLD MILL\n")
    twice = "THE OLD MILL\n".join([*sheets[:3], sheets[2], *sheets[3:]])
    output = _clean(tmp_path, {"a": twice}, repeated_pages=True, page_numbers=True, running_heads=True)
    assert sum(line in lines for line in texts_of(output)["a"].split("\n")) == len(lines)
    assert ("cut", "repeated pages") in {(row["action"], row["rule"]) for row in pq.read_table(output / "ledger.parquet").to_pylist()}


def test_misread_words_are_corrected_by_known_words_in_misread_documents(tmp_path: Path) -> None:
    known = "The modern time came home. Tom saw the mill, the river and the clay. " * 30
    misread = "The modem tirne of c1ay and day came, Modern and MODEM. Torn by the m1ll and r1ver, she was torn, and Tom came horne."
    own = "The modem of the thern stood in the m1ll."
    cleaned = texts_of(_clean(tmp_path, {"a": misread, "b": known, "c": own}, ocr=True))
    assert cleaned["a"] == (
        "The modern time of clay and day came, Modern and MODERN. Torn by the mill and river, she was torn, and Tom came home."
    )
    assert cleaned["c"] == "The modem of the thern stood in the mill."


def test_a_short_document_is_removed_by_a_rule_of_that_name(tmp_path: Path) -> None:
    output = _clean(tmp_path, {"a": "Short.", "b": PROSE}, minimum_characters=50)
    fate = {row["id"]: (row["action"], row["rule"]) for row in pq.read_table(output / "ledger.parquet").to_pylist()}
    assert set(texts_of(output)) == {"b"} and fate == {"a": ("removed", "too short"), "b": ("kept", "document")}


def test_every_removed_or_rewritten_line_is_kept_word_for_word(tmp_path: Path) -> None:
    book, _ = _book(6)
    texts = {"a": f"“Yes,” he said.\n\n{book}\nThe c1ay.", "b": "No.", "c": "The clay. " * 9}
    output = _all(tmp_path, texts, minimum_characters=40)
    assert _rows(output, "edits") == [
        {"id": "a", "round": 1, "rule": "quotes", "place": 1, "before": "“Yes,” he said.", "after": '"Yes," he said.'},
        {"id": "a", "round": 1, "rule": "misread words", "place": 153, "before": "c1ay", "after": "clay"},
    ]
    lines = texts["a"].split("\n")
    heads = _rows(output, "removed/running_heads")
    assert [(row["id"], lines[row["place"] - 1], row["text"], row["detail"]) for row in heads] == [
        ("a", "THE OLD MILL", "THE OLD MILL", "round 1")
    ] * 5
    assert [row["text"] for row in _rows(output, "removed/page_numbers")] == ["5", "6", "7", "8", "9", "10"]
    assert _rows(output, "removed/too_short") == [{"id": "b", "place": 0, "text": "No.", "detail": ""}]


TITLES = (
    "CONTENTS",
    "CHAPTER I. The Mill",
    "CHAPTER II",
    "Tale 3 . . . . 9",
    "# CHAPTER I",
    "Act II, Scene 1",
    "The Mill 4",
    "I. The Mill",
)
PIECES = st.sampled_from(
    [PROSE, VERSE, "\f", "12", "THE OLD MILL", "“Yes,” he said -- so.", "cafÃ© won-\nderful", "#@^%~|<>{}", "", *TITLES,
     "Scanned by the Library", "a\u00a0b\r\r\nc", "&nbsp;", "\ufb01sh\u200b", "He sa1d tirne.", "The r1ver and the rnill, c0ld.", "* * *",
     "said time mill cold " * 9, "<<THIS ELECTRONIC VERSION", "- 13 -", "14 THE OLD MILL", "and so it went on,"]
)  # fmt: skip


@pytest.mark.parametrize("titles", ["keep", "mark", "drop"])
def test_any_text_reaches_a_fixed_point_and_its_ledger_adds_up(titles: str, tmp_path: Path) -> None:
    @settings(max_examples=MORE, deadline=None, database=None)
    @given(st.lists(st.lists(PIECES, max_size=9).map("\n".join), min_size=1, max_size=4), st.sampled_from([1, 60]))
    def law(books: list[str], minimum: int) -> None:
        texts = {f"{k}": book for k, book in enumerate(books)}
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            output = _all(Path(folder) / "once", texts, chapter_titles=titles, minimum_characters=minimum, rounds=12)
            kept = texts_of(output)
            for name, text in texts.items():
                rows = [row for row in _rows(output, "ledger") if row["id"] == name]
                (fate,) = (row for row in rows if row["action"] in ("kept", "removed"))
                assert len(text) == len(kept.get(name, "")) + sum(int(row["net"]) for row in rows)
                assert fate["action"] == ("kept" if name in kept else "removed")
                assert fate["net"] == (0 if name in kept else fate["characters"]) and fate["characters"] >= minimum * (name in kept)
            if kept:
                assert texts_of(_all(Path(folder) / "twice", kept, chapter_titles=titles, minimum_characters=minimum, rounds=12)) == kept

    law()


def test_the_size_of_a_batch_changes_no_byte(tmp_path: Path) -> None:
    texts = {f"{k:02}": _book(3, f"HEAD {k}")[0] + PROSE + VERSE * k + "The c1ay, the m1ll, a r1ver: tirne.\n" for k in range(9)}
    texts |= {"known": "The clay, the mill, a river: time. " * 30, "short": "x"}
    whole, single = (_all(tmp_path / str(batch), texts, batch=batch, minimum_characters=2) for batch in (BATCH_CHARACTERS, 1))
    assert bytes_of(whole) == bytes_of(single) and "time." in texts_of(whole)["00"]


def test_one_long_document_takes_no_longer_than_the_same_text_in_many(tmp_path: Path) -> None:
    parts = ["\n\n".join(f"It was {n}." for n in range(1_000))] * 40
    spent = []
    for name, texts in (("one", {"one": "\n\n".join(parts)}), ("many", {f"{k:02}": part for k, part in enumerate(parts)})):
        began = time.process_time()
        _all(tmp_path / name, texts)
        spent.append(time.process_time() - began)
    assert spent[0] < 2 * spent[1], spent


def test_an_empty_shard_gives_empty_files(tmp_path: Path) -> None:
    output = _all(tmp_path, {})
    assert [_rows(output, name) for name in ("documents", "ledger", "edits")] == [[], [], []]


def test_threads_change_no_byte_and_cleaning_warns_of_nothing(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    texts = {f"{k:02}": _book(3, f"HEAD {k}")[0] + PROSE + VERSE * k for k in range(9)}
    first, second = (_all(tmp_path / str(threads), texts, threads=threads) for threads in (1, 3))
    assert bytes_of(first) == bytes_of(second) and not recwarn.list


def test_titles_and_metadata_pass_through(tmp_path: Path) -> None:
    row = pq.read_table(_all(tmp_path, {"a": PROSE}) / "documents.parquet").to_pylist()[0]
    assert (row["title"], row["source"], json.loads(row["metadata"])) == ("Title a", "test", {})
