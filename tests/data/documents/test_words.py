"""Words are the same in SQL and in Python."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from data.documents.database import Database, open_database
from data.documents.words import gram_macro, spans


def _count_words(work: Database, text: str) -> int:
    work.connection.register("batch", pa.table({"text": [text]}))
    count = int(work.number("SELECT len(words(text)) FROM batch"))
    work.connection.unregister("batch")
    return count


def test_sql_and_python_count_the_same_words_in_any_text(tmp_path: Path) -> None:
    alphabet = st.one_of(st.sampled_from(" \n\t.,-'“”—’aZé\u00a0\u3000。"), st.characters(exclude_categories=["Cs"]))
    with open_database(tmp_path, threads=1, memory="200MB") as work:

        @settings(max_examples=60, deadline=None, database=None)
        @given(st.text(alphabet, max_size=60))
        def law(text: str) -> None:
            assert _count_words(work, text) == len(spans(text))

        law()


def test_case_punctuation_and_spaces_do_not_make_another_text(tmp_path: Path) -> None:
    with open_database(tmp_path, threads=1, memory="200MB") as work:
        same = work.rows("SELECT fingerprint('“Well,” said   he — no.') = fingerprint('well\nSAID he no')")
        other = work.rows("SELECT fingerprint('well said he no') = fingerprint('well said she no')")
        empty = work.rows("SELECT fingerprint(' ... ')")
    assert (same, other, empty) == ([(True,)], [(False,)], [(None,)])


def test_a_text_shorter_than_a_gram_is_one_gram_and_an_empty_one_none(tmp_path: Path) -> None:
    with open_database(tmp_path, threads=1, memory="200MB") as work:
        work.connection.execute(gram_macro("grams", 3))
        counts = work.rows("SELECT len(grams(word_hashes(t))) FROM (VALUES (''), ('a b'), ('a b c'), ('a b c d')) AS v(t) ORDER BY t")
    assert counts == [(0,), (1,), (1,), (2,)]
