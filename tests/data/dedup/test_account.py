"""Nothing is removed without a row in the ledger, and everything removed can be read again."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dedup.config import DedupConfig, LineRule, NearRule, PageRule, ParagraphRule, SubstringRule
from tests.data.dedup.books import edited, kept_texts, prose, run

EVERY = DedupConfig(
    page=PageRule(min_words=40),
    paragraph=ParagraphRule(min_characters=150),
    line=LineRule(enabled=True, documents=2),
    substring=SubstringRule(enabled=True, min_words=20),
)


def _ledger(output: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(output / "ledger.parquet").to_pylist()
    return rows


def _removed(output: Path, rule: str) -> list[dict[str, Any]]:
    path = output / "removed" / f"{rule}.parquet"
    return pq.read_table(path).to_pylist() if path.exists() else []


def test_every_character_is_in_the_ledger_and_every_removed_word_is_kept(tmp_path: Path) -> None:
    pool = [prose(k, paragraphs=1, sentences=4) for k in range(4)] + ["A line that comes back again and again.", "— * —"]
    runs = count()

    @settings(max_examples=12, deadline=None, database=None)
    @given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(("\n\n", "\n", " "))), max_size=7), min_size=1, max_size=7))
    def law(books: list[list[tuple[int, str]]]) -> None:
        texts = {f"{k:02}": "".join(pool[part] + space for part, space in book) for k, book in enumerate(books)}
        output, metrics = run(tmp_path / str(next(runs)), texts, EVERY)
        rows, kept = _ledger(output), kept_texts(output)
        closing = {row["id"]: row for row in rows if row["action"] != "cut"}
        assert sorted(closing) == sorted(texts) and len(closing) + sum(row["action"] == "cut" for row in rows) == len(rows)
        assert {name for name, row in closing.items() if row["action"] == "kept"} == set(kept)
        for name, text in texts.items():
            mine = sum(row["net"] for row in rows if row["id"] == name)
            assert len(text) == len(kept.get(name, "")) + mine
            pieces = [
                row["text"] for rule in ("page", "paragraph", "line", "substring") for row in _removed(output, rule) if row["id"] == name
            ]
            whole = [
                row["text"] for rule in ("exact_document", "near_document", "empty") for row in _removed(output, rule) if row["id"] == name
            ]
            assert (name in kept) != (len(whole) == 1)
            assert sorted(" ".join([kept.get(name, ""), *pieces, *whole]).split()) == sorted(text.split())
        assert sum(map(len, texts.values())) == metrics["characters_kept"] + sum(row["net"] for row in rows)

    law()


def test_a_removed_copy_is_kept_whole_and_the_ledger_names_the_one_that_stays(tmp_path: Path) -> None:
    text = prose(1, paragraphs=10)
    near = edited(text, 0.01) + " One more line."
    output, _ = run(tmp_path, {"a": text, "b": near, "c": text.lower()})
    assert _removed(output, "near_document") == [{"id": "a", "place": 0, "text": text, "detail": "kept b"}]
    assert _removed(output, "exact_document") == [{"id": "c", "place": 0, "text": text.lower(), "detail": "kept b"}]
    details = {row["id"]: row["detail"] for row in _ledger(output) if row["action"] == "duplicate"}
    size = f"longest: {len(near)} characters against {len(text)} characters"
    assert re.fullmatch(rf"kept b: {size}; jaccard 0\.\d\d\d", details["a"]) and details["c"] == f"kept b: {size}; the words of a"


def test_cut_text_records_its_position_and_its_first_copy(tmp_path: Path) -> None:
    paragraph, passage = prose(9, 1, 6), " ".join(prose(8, 1, 8).split()[:60])
    texts = {
        "a": f"{prose(1)}\n\n{paragraph}\n\n{passage} {prose(2, 1)}",
        "b": f"{prose(3, 2)}\n\n{paragraph}\n\n{prose(4, 1)} {passage} {prose(5, 1)}",
    }
    output, metrics = run(tmp_path, texts, DedupConfig(substring=SubstringRule(enabled=True)))
    (row,) = _removed(output, "paragraph")
    assert row == {"id": "b", "place": 3, "text": f"{paragraph}\n\n", "detail": "first in a, paragraph 7"}
    (row,) = _removed(output, "substring")
    before = len(f"{prose(3, 2)} {prose(4, 1)}".split())
    first = len(f"{prose(1)} {paragraph}".split()) + 1
    assert (row["id"], row["place"], row["text"].strip()) == ("b", before + 1, passage) and row["detail"] == f"first in a, word {first}"
    assert kept_texts(output)["b"] == f"{prose(3, 2)}\n\n{prose(4, 1)} {prose(5, 1)}"
    assert metrics["substrings_removed"] == 1
    cuts = {row["rule"]: (row["count"], row["detail"]) for row in _ledger(output) if row["action"] == "cut"}
    assert cuts == {"paragraph": (1, "first in a"), "substring": (1, "first in a")}


def test_a_removed_page_records_the_position_of_its_first_copy(tmp_path: Path) -> None:
    page = " ".join(prose(3, paragraphs=3).split())
    output, _ = run(tmp_path, {"a": f"{prose(1, 1)}\n\n{page}\n\n{page}\n\n{prose(2, 1)}"})
    (row,) = _removed(output, "page")
    start = len(prose(1, 1).split()) + 1
    assert row["text"].strip() == page and (row["place"], row["detail"]) == (start + len(page.split()), f"first at word {start}")


def test_a_document_of_copies_only_is_removed_as_empty(tmp_path: Path) -> None:
    part, other = prose(1, 1, 6), prose(2, 1, 6)
    output, metrics = run(tmp_path, {"a": f"{part}\n\n{prose(3, 8)}", "b": f"{prose(4, 8)}\n\n{other}", "c": f"{part}\n\n{other}"})
    assert set(kept_texts(output)) == {"a", "b"} and metrics["documents_empty"] == 1
    assert [row["action"] for row in _ledger(output) if row["id"] == "c"] == ["cut", "removed"]


def test_near_copies_kept_on_purpose_keep_their_lines_and_passages(tmp_path: Path) -> None:
    text = prose(1, paragraphs=10)
    texts = {"a": text, "b": edited(text, 0.01), "c": f"{prose(2)}\n\n{text[:900]}"}
    config = EVERY.model_copy(update={"near": NearRule(action="cluster")})
    kept = kept_texts(run(tmp_path, texts, config)[0])
    assert (kept["a"], kept["b"]) == (texts["a"], texts["b"]) and len(kept["c"]) < len(texts["c"]) - 600
