"""Tables fit the terminal, whatever stands in them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tasks.stage.system.columns import columns, fit

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=120)


TABLES = st.integers(1, 10).flatmap(lambda n: st.lists(st.lists(NAMES, min_size=n, max_size=n), min_size=1, max_size=5))


@given(st.integers(60, 200), TABLES)
def test_no_line_of_a_table_is_longer_than_the_terminal_is_wide(room: int, rows: list[list[str]]) -> None:
    lines = columns(rows, frozenset({1, 2}), room)
    assert len(lines) >= len(rows)
    assert max(map(cell_len, lines)) <= room
    assert not any("\n" in line for line in lines)


def test_a_long_name_goes_on_below_and_numbers_stay_whole() -> None:
    rows = [("name", "characters kept"), ("n" * 90, "1,234,567")]
    first, second, line, rest = columns(rows, frozenset({1}), 60)
    assert line == f"{'n' * 48}   1,234,567" and rest == "n" * 42
    assert first.endswith("characters") and second == f"name{' ' * 52}kept"
    assert columns(rows, frozenset({1}), 200)[1] == f"{'n' * 90}        1,234,567"


@given(st.integers(60, 200), st.lists(st.lists(NAMES, min_size=3, max_size=3), min_size=2, max_size=5))
def test_every_letter_of_a_table_of_texts_is_printed(room: int, rows: list[list[str]]) -> None:
    printed = Counter("".join(columns(rows, room=room)).replace(" ", ""))
    assert printed == Counter("".join(cell for row in rows for cell in row).replace(" ", ""))


@pytest.mark.parametrize("text", ["日本語の本の長い題名です", "plain words that go on"])
def test_a_text_is_cut_by_what_it_takes_on_the_screen(text: str) -> None:
    assert cell_len(fit(text, 11)) <= 11
    assert fit(text, 11).endswith("…")
    assert fit(text, 100) == text


def test_without_a_terminal_lines_are_a_hundred_characters_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert cell_len(columns([("a" * 300,)])[0]) == 100
    monkeypatch.setenv("COLUMNS", "70")
    assert cell_len(columns([("a" * 300,)])[0]) == 70


def test_headings_of_several_words_are_broken_before_any_word_of_theirs_is_cut() -> None:
    rows = [("split", "also in train", "longest passage", "kept"), ("train", "1.8 %", "36 words", "1,234,567,890")]
    assert len(columns(rows, frozenset({1, 2, 3}), 80)) == 2
    assert columns(rows, frozenset({1, 2, 3}), 45) == [
        "       also in   longest",
        "split    train   passage           kept",
        "train    1.8 %  36 words  1,234,567,890",
    ]
