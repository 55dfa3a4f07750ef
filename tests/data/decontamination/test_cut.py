"""What is cut out of a document around evaluation text, and when the whole document is dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.decontamination.config import CutConfig, DecontaminateConfig, EvaluationSet
from data.decontamination.decontaminate import SEPARATOR, cut

SETS = (EvaluationSet(name="set", paths=("x.txt",)),)


def config(**more: object) -> CutConfig:
    return DecontaminateConfig.model_validate({"against": SETS, **more}).cutting


def test_a_passage_is_cut_with_its_surroundings_and_pieces_stay_in_order() -> None:
    text = "a" * 500 + "PASSAGE" + "b" * 600
    result = cut(text, [(500, 507)], config())
    assert result.text == "a" * 300 + "\n\n" + "b" * 400
    assert [(piece.start, piece.text) for piece in result.removed] == [(300, "a" * 200 + "PASSAGE" + "b" * 200)]


def test_passages_whose_surroundings_meet_are_cut_as_one() -> None:
    text = "a" * 500 + "ONE" + "-" * 400 + "TWO" + "b" * 500
    assert len(cut(text, [(500, 503), (903, 906)], config()).removed) == 1
    assert len(cut(text, [(500, 503), (903, 906)], config(window=199, min_characters=0)).removed) == 2


def test_a_short_piece_is_dropped_and_kept_among_the_removed_text() -> None:
    text = "a" * 500 + "ONE" + "-" * 500 + "TWO" + "b" * 500
    result = cut(text, [(500, 503), (1003, 1006)], config())
    assert result.text == "a" * 300 + SEPARATOR + "b" * 300
    assert "".join(piece.text for piece in result.removed) == text[300:1206]
    around, short = "a passage and what is around it", "a piece too short to keep"
    assert [piece.why for piece in result.removed] == [around, short, around]


@pytest.mark.parametrize(("passages", "dropped"), [(10, True), (9, False)])
def test_a_document_in_more_than_ten_pieces_is_dropped(passages: int, dropped: bool) -> None:
    text = ("a" * 900 + "X") * passages + "a" * 900
    found = cut(text, [(900 + 901 * k, 901 + 901 * k) for k in range(passages)], config())
    assert found.dropped == ("it falls into 11 pieces" if dropped else "") and (found.text == "") == dropped


def test_a_document_without_a_long_enough_piece_is_dropped() -> None:
    assert cut("a" * 399 + "X" + "b" * 399, [(399, 400)], config()).dropped == "no piece is long enough to keep"
    assert cut("a" * 900 + "X" + "b" * 900, [(900, 901)], config(action="drop")).dropped == "it holds a passage"


@given(
    st.text("ab \n", max_size=300),
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 20)), min_size=1, max_size=6),
    st.integers(0, 20),
    st.integers(0, 30),
)
def test_kept_and_removed_text_make_up_the_whole_except_blanks(text: str, ranges: list[tuple[int, int]], window: int, least: int) -> None:
    passages = sorted((min(start, len(text)), min(start + size, len(text))) for start, size in ranges)
    result = cut(text, passages, config(window=window, min_characters=least, max_pieces=100))
    gone = {place for start, end in passages for place in range(max(0, start - window), min(len(text), end + window))}
    if result.dropped:
        return
    assert gone <= {place for piece in result.removed for place in range(piece.start, piece.start + len(piece.text))}
    whole = "".join(piece.text for piece in result.removed) + result.text
    assert sorted(whole.replace("\n", "").replace(" ", "")) == sorted(text.replace("\n", "").replace(" ", ""))
    assert all(piece.text == text[piece.start : piece.start + len(piece.text)] for piece in result.removed)
