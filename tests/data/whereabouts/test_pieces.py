"""What became of the pieces of a document, told from rows of edits and of removed tables; and rows of one document found in a file."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from data.documents.ledger import EDITS, REMOVED
from data.provenance.pieces import Change, Touch, around, changes, is_of_pieces, lines_of, placed, table_of
from data.provenance.tables import head, kin, rows_of


def edit(rule: str, place: int, before: str, after: str, number: int = 1) -> dict[str, Any]:
    return {"id": "a", "round": number, "rule": rule, "place": place, "before": before, "after": after}


def taken(place: int, text: str, detail: str = "round 1") -> dict[str, Any]:
    return {"id": "a", "place": place, "text": text, "detail": detail}


def test_what_several_rules_did_to_one_line_in_turn_is_one_change_with_their_steps() -> None:
    edits = [edit("quotes", 3, "'a' -- b", "‘a’ -- b"), edit("dashes", 3, "‘a’ -- b", "‘a’ — b"), edit("quotes", 2, "'c'", "‘c’")]
    first, second = changes(edits, {})
    assert (first.place, first.rules) == (2, ("quotes",))
    assert second == Change(1, 3, "'a' -- b", (Touch("quotes", "‘a’ -- b"), Touch("dashes", "‘a’ — b")))


def test_a_word_that_was_replaced_is_told_within_its_line_after_what_other_rules_made_of_it() -> None:
    lines = ["he l0oked at 'it'", "l0oked and l0oked"]
    edits = [edit("quotes", 1, "he l0oked at 'it'", "he l0oked at ‘it’"), edit("words", 1, "l0oked", "looked")]
    edits += [edit("words", 2, "l0oked", "looked"), edit("words", 2, "l0oked", "looked")]
    first, second = changes(edits, {}, lines)
    assert (first.before, first.after, first.rules) == ("he l0oked at 'it'", "he looked at ‘it’", ("quotes", "words"))
    assert (second.before, second.after) == ("l0oked and l0oked", "looked and looked")
    (part,) = changes([edit("words", 1, "l0o", "loo")], {}, lines)
    assert part.before == "l0o", "the beginning of a word is not that word"


def test_a_step_that_does_not_take_up_what_the_one_before_it_left_is_a_change_of_its_own() -> None:
    found = changes([edit("quotes", 3, "a", "b"), edit("dashes", 3, "x", "y")], {})
    assert [change.before for change in found] == ["a", "x"]


def test_a_line_that_was_mended_and_then_taken_out_ends_as_taken_out() -> None:
    (only,) = changes([edit("quotes", 3, "'a'", "‘a’")], {"running heads": [taken(3, "‘a’")]})
    assert (only.before, only.after, only.rules) == ("'a'", None, ("quotes", "running heads"))


def test_rounds_come_one_after_the_other_whatever_the_place() -> None:
    found = changes([edit("quotes", 1, "a", "b", 2)], {"boilerplate": [taken(9, "x")], "page": [taken(4, "y", "first in 00")]})
    assert [(change.round, change.place) for change in found] == [(1, 4), (1, 9), (2, 1)]
    assert [change.touches[0].detail for change in found] == ["first in 00", "", ""]


def test_lines_are_counted_as_cleaning_counts_them() -> None:
    assert lines_of("a\r\nb\r\r\nc\fd\n\f\ne") == ["a", "b", "c", "\f", "d", "\f", "e"]


def test_a_change_is_shown_between_its_neighbours_only_where_it_stands_without_doubt() -> None:
    lines = ["one", "two", "three", "two"]
    assert around(Change(1, 2, "two", ()), lines) == ("one", "three")
    assert around(Change(2, 1, "three", ()), lines) == ("two", "two"), "in a later round lines have other numbers: its only place counts"
    assert around(Change(2, 1, "two", ()), lines) is None
    assert around(Change(1, 2, "elsewhere", ()), lines) is None


def test_what_was_redacted_is_shown_in_the_text_that_came_of_it() -> None:
    before, found = (
        "Write to ann@example.org or call 555-123 now.",
        (("e-mail", "ann@example.org", "<email>"), ("telephone", "555-123", "<phone>")),
    )
    after, told = before, []
    for rule, piece, instead in found:
        after = after.replace(piece, instead)
        told.append(Change(1, before.index(piece) + 1, f"{rule}, {len(piece)} characters", (Touch(rule, instead),)))
    assert list(placed(told, after, 5).values()) == ["e to <email> or c", "call <phone> now."]
    assert placed(told, "quite another text", 5) == {}


def test_pieces_lie_in_edits_and_in_a_table_a_rule() -> None:
    assert table_of("running heads") == "removed/running_heads.parquet"
    assert [is_of_pieces(path) for path in ("edits.parquet", "removed/x.parquet", "documents.parquet", "ledger.parquet")] == [
        True,
        True,
        False,
        False,
    ]


ids = st.sampled_from("abcdef")


@given(st.lists(st.tuples(ids, st.integers(0, 9))), ids, st.booleans(), st.integers(1, 4))
def test_the_rows_of_a_document_are_all_of_them_in_order_whatever_the_groups_and_their_order(
    rows: list[tuple[str, int]], wanted: str, ordered: bool, size: int
) -> None:
    rows = sorted(rows) if ordered else rows
    table = pa.Table.from_pylist([{"id": name, "place": place, "text": "t", "detail": ""} for name, place in rows], schema=REMOVED)
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=size)
    assert [row["place"] for row in rows_of(file, wanted)] == [place for name, place in rows if name == wanted]
    assert [row["place"] for row in rows_of(file, wanted, ("id", "place"))] == [place for name, place in rows if name == wanted]
    assert [row["id"] for row in head(file, 3)] == [name for name, _ in rows[:3]]


def test_whoever_lost_a_passage_and_whoever_keeps_it_are_kin_whatever_the_rule() -> None:
    one, other, third = ("0" * 15 + digit for digit in "123")
    rows = [
        {"id": one, "action": "cut", "rule": "line", "detail": f"first in {other}"},
        {"id": one, "action": "cut", "rule": "page", "detail": ""},
        {"id": third, "action": "cut", "rule": "substring", "detail": f"in {one} and in {other}"},
        {"id": other, "action": "duplicate", "rule": "near_document", "detail": f"near {third}; jaccard 0.9 with {one}"},
    ]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    assert kin(file, one).passages_kept_in == (other,) and kin(file, one).passages_taken_from == (third,)
    assert kin(file, other).passages_taken_from == (one, third)
    assert kin(file, other).kept_instead == third and kin(file, third).duplicates == (other,)


def test_the_schemas_are_those_that_stages_write() -> None:
    assert REMOVED.names == ["id", "place", "text", "detail"] and EDITS.names == ["id", "round", "rule", "place", "before", "after"]
