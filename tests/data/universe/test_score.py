"""The truth scores 1, the books as found little, and partial cleaning in between."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.universe.score import align, score
from data.universe.write import truth_table


def documents(path: Path, texts: dict[str, str]) -> Path:
    rows = [
        {"id": f"{at:016x}", "title": "", "source": "universe", "text": text, "metadata": json.dumps({"path": name})}
        for at, (name, text) in enumerate(texts.items())
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def distinct(universe: Path, texts: dict[str, str]) -> dict[str, str]:
    copies = {row["path"] for row in truth_table(universe / "truth", "duplicates")}
    return {path: text for path, text in texts.items() if path not in copies}


def test_the_truth_itself_scores_one_everywhere(universe: Path, clean: dict[str, str], tmp_path: Path) -> None:
    figures = score(
        universe / "truth",
        [documents(tmp_path / "a.parquet", clean)],
        documents(tmp_path / "b.parquet", distinct(universe, clean)),
    )
    errors = {"false_edit_share", "dedup_false_share"}
    assert all(value == (0.0 if name in errors else 1.0) for name, value in figures.items()), figures


def test_the_dirt_itself_has_next_to_nothing_repaired_and_nothing_spoilt(universe: Path, dirty: dict[str, str], tmp_path: Path) -> None:
    same = documents(tmp_path / "a.parquet", dirty)
    figures = score(universe / "truth", [same], same)
    # Text decoded with the right code page is a repair of cp1252; a lone line is no hard wrap.
    assert figures["clean_recall"] < 0.05 and figures["false_edit_share"] == 0.0
    assert figures["document_dedup_recall"] == 0.0 and figures["page_dedup_recall"] == 0.0
    for kind in ("boilerplate", "page_number", "running_head", "hyphenation", "mojibake", "misread", "corrupted_block"):
        # A word may be misread as another that stands in the truth beside it.
        assert figures[f"clean_recall_{kind}"] < 0.005, kind


def test_a_cleaner_that_deletes_true_sentences_loses_precision(universe: Path, clean: dict[str, str], tmp_path: Path) -> None:
    spoilt = {path: text.replace(" best.", "") for path, text in clean.items()}
    same = documents(tmp_path / "a.parquet", spoilt)
    figures = score(universe / "truth", [same], same)
    assert figures["clean_precision"] < 0.95 and 0 < figures["false_edit_share"] < 0.05


def test_dropped_headings_are_counted_apart(universe: Path, clean: dict[str, str], tmp_path: Path) -> None:
    bare = {path: "\n\n".join(p for p in text.split("\n\n") if not p.startswith("Chapter ")) for path, text in clean.items()}
    same = documents(tmp_path / "a.parquet", bare)
    figures = score(universe / "truth", [same], same)
    assert figures["false_edit_share"] < 1e-4 and figures["headings_kept"] < 0.5
    assert figures["clean_recall"] > 0.99


def test_a_dropped_book_counts_against_cleaning_and_a_wrong_removal_against_dedup(
    universe: Path, clean: dict[str, str], tmp_path: Path
) -> None:
    repeated = {row["original"] for row in truth_table(universe / "truth", "duplicates")}
    lone = next(path for path in distinct(universe, clean) if path not in repeated)
    kept = {path: text for path, text in distinct(universe, clean).items() if path != lone}
    figures = score(universe / "truth", [documents(tmp_path / "a.parquet", clean)], documents(tmp_path / "b.parquet", kept))
    assert figures["document_dedup_precision"] == pytest.approx(12 / 13) and figures["document_dedup_recall"] == 1.0
    half = dict(list(clean.items())[:56])
    figures = score(universe / "truth", [documents(tmp_path / "c.parquet", half)], tmp_path / "c.parquet")
    assert figures["documents_cleaned"] == 0.5 and figures["clean_recall"] < 0.65


def test_cleaned_documents_in_shards_score_as_in_one_file(universe: Path, dirty: dict[str, str], tmp_path: Path) -> None:
    whole = documents(tmp_path / "whole.parquet", dirty)
    parts = [documents(tmp_path / f"{k}.parquet", dict(list(dirty.items())[k::3])) for k in range(3)]
    assert score(universe / "truth", parts, whole) == score(universe / "truth", [whole], whole)


def test_documents_of_another_source_are_an_error(universe: Path, tmp_path: Path) -> None:
    other = documents(tmp_path / "a.parquet", {"hamlet.txt": "To be."})
    with pytest.raises(ValueError, match="no document of the universe"):
        score(universe / "truth", [other], other)


words = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", "g"]), max_size=40)


@settings(max_examples=200, deadline=None)
@given(words, words)
def test_an_alignment_pairs_equal_words_in_rising_order(truth: list[str], found: list[str]) -> None:
    matched = align(truth, found)
    places = [m for m in matched if m >= 0]
    assert len(matched) == len(truth) and places == sorted(set(places))
    assert all(found[m] == word for word, m in zip(truth, matched, strict=True) if m >= 0)


@given(words)
def test_a_text_aligns_with_itself_completely(truth: list[str]) -> None:
    assert align(truth, truth) == list(range(len(truth)))
