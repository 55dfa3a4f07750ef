"""Changes merged from the rows of edits.parquet and removed/, and the rows of one document found in a Parquet file."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from data.documents.ledger import EDITS, REMOVED
from data.provenance.edits import (
    Change,
    RuleEdit,
    context_lines,
    is_edit_file,
    merge_changes,
    redaction_contexts,
    removed_file,
    split_lines,
)
from data.provenance.tables import find_shared_text, first_rows, rows_of


def edit(rule: str, place: int, before: str, after: str, number: int = 1) -> dict[str, Any]:
    return {"id": "a", "round": number, "rule": rule, "place": place, "before": before, "after": after}


def taken(place: int, text: str, detail: str = "round 1") -> dict[str, Any]:
    return {"id": "a", "place": place, "text": text, "detail": detail}


def test_edits_of_one_line_by_several_rules_are_merged_into_one_change() -> None:
    edits = [edit("quotes", 3, "'a' -- b", "‘a’ -- b"), edit("dashes", 3, "‘a’ -- b", "‘a’ — b"), edit("quotes", 2, "'c'", "‘c’")]
    first, second = merge_changes(edits, {})
    assert (first.place, first.rules) == (2, ("quotes",))
    assert second == Change(1, 3, "'a' -- b", (RuleEdit("quotes", "‘a’ -- b"), RuleEdit("dashes", "‘a’ — b")))


def test_a_replaced_word_is_shown_within_its_line_as_earlier_rules_left_it() -> None:
    lines = ["he l0oked at 'it'", "l0oked and l0oked"]
    edits = [edit("quotes", 1, "he l0oked at 'it'", "he l0oked at ‘it’"), edit("words", 1, "l0oked", "looked")]
    edits += [edit("words", 2, "l0oked", "looked"), edit("words", 2, "l0oked", "looked")]
    first, second = merge_changes(edits, {}, lines)
    assert (first.before, first.after, first.rules) == ("he l0oked at 'it'", "he looked at ‘it’", ("quotes", "words"))
    assert (second.before, second.after) == ("l0oked and l0oked", "looked and looked")
    (part,) = merge_changes([edit("words", 1, "l0o", "loo")], {}, lines)
    assert part.before == "l0o", "the beginning of a word is not that word"


def test_an_edit_that_does_not_continue_the_previous_one_is_a_separate_change() -> None:
    found = merge_changes([edit("quotes", 3, "a", "b"), edit("dashes", 3, "x", "y")], {})
    assert [change.before for change in found] == ["a", "x"]


def test_a_line_that_was_edited_and_then_removed_counts_as_removed() -> None:
    (only,) = merge_changes([edit("quotes", 3, "'a'", "‘a’")], {"running heads": [taken(3, "‘a’")]})
    assert (only.before, only.after, only.rules) == ("'a'", None, ("quotes", "running heads"))


def test_changes_are_ordered_by_round_before_place() -> None:
    found = merge_changes([edit("quotes", 1, "a", "b", 2)], {"boilerplate": [taken(9, "x")], "page": [taken(4, "y", "first in 00")]})
    assert [(change.round, change.place) for change in found] == [(1, 4), (1, 9), (2, 1)]
    assert [change.touches[0].detail for change in found] == ["first in 00", "", ""]


def test_lines_are_split_as_cleaning_splits_them() -> None:
    assert split_lines("a\r\nb\r\r\nc\fd\n\f\ne") == ["a", "b", "c", "\f", "d", "\f", "e"]


def test_context_is_shown_only_where_the_position_is_unambiguous() -> None:
    lines = ["one", "two", "three", "two"]
    assert context_lines(Change(1, 2, "two", ()), lines) == ("one", "three")
    assert context_lines(Change(2, 1, "three", ()), lines) == ("two", "two"), (
        "later rounds number lines differently, so the text is searched for"
    )
    assert context_lines(Change(2, 1, "two", ()), lines) is None
    assert context_lines(Change(1, 2, "elsewhere", ()), lines) is None


def test_redactions_are_shown_in_the_redacted_text() -> None:
    before, found = (
        "Write to ann@example.org or call 555-123 now.",
        (("e-mail", "ann@example.org", "<email>"), ("telephone", "555-123", "<phone>")),
    )
    after, told = before, []
    for rule, piece, instead in found:
        after = after.replace(piece, instead)
        told.append(Change(1, before.index(piece) + 1, f"{rule}, {len(piece)} characters", (RuleEdit(rule, instead),)))
    assert list(redaction_contexts(told, after, 5).values()) == ["e to <email> or c", "call <phone> now."]
    assert redaction_contexts(told, "quite another text", 5) == {}


def test_edit_files_are_edits_parquet_and_one_file_a_rule() -> None:
    assert removed_file("running heads") == "removed/running_heads.parquet"
    assert [is_edit_file(path) for path in ("edits.parquet", "removed/x.parquet", "documents.parquet", "ledger.parquet")] == [
        True,
        True,
        False,
        False,
    ]


ids = st.sampled_from("abcdef")


@given(st.lists(st.tuples(ids, st.integers(0, 9))), ids, st.booleans(), st.integers(1, 4))
def test_rows_of_a_document_are_complete_and_in_order_for_any_row_groups(
    rows: list[tuple[str, int]], wanted: str, ordered: bool, size: int
) -> None:
    rows = sorted(rows) if ordered else rows
    table = pa.Table.from_pylist([{"id": name, "place": place, "text": "t", "detail": ""} for name, place in rows], schema=REMOVED)
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=size)
    assert [row["place"] for row in rows_of(file, wanted)] == [place for name, place in rows if name == wanted]
    assert [row["place"] for row in rows_of(file, wanted, ("id", "place"))] == [place for name, place in rows if name == wanted]
    assert [row["id"] for row in first_rows(file, 3)] == [name for name, _ in rows[:3]]


def test_documents_that_lost_or_kept_a_passage_share_text_whatever_the_rule() -> None:
    one, other, third = ("0" * 15 + digit for digit in "123")
    rows = [
        {"id": one, "action": "cut", "rule": "line", "detail": f"first in {other}"},
        {"id": one, "action": "cut", "rule": "page", "detail": ""},
        {"id": third, "action": "cut", "rule": "substring", "detail": f"in {one} and in {other}"},
        {"id": other, "action": "duplicate", "rule": "near_document", "detail": f"near {third}; jaccard 0.9 with {one}"},
    ]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    assert find_shared_text(file, one).passages_kept_in == (other,) and find_shared_text(file, one).passages_taken_from == (third,)
    assert find_shared_text(file, other).passages_taken_from == (one, third)
    assert find_shared_text(file, other).kept_instead == third and find_shared_text(file, third).duplicates == (other,)


def test_the_schemas_match_what_stages_write() -> None:
    assert REMOVED.names == ["id", "place", "text", "detail"] and EDITS.names == ["id", "round", "rule", "place", "before", "after"]
