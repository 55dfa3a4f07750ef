"""Documents and rows in small pieces are the same documents and rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from data.documents.database import workspace
from data.documents.rows import AT_ONCE, rows
from data.documents.stream import slices


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(1, 60))
def test_slices_hold_every_row_in_order_and_close_when_they_are_full(texts: list[str], characters: int) -> None:
    pieces = [piece["text"].to_pylist() for piece in slices(pa.table({"text": pa.array(texts, pa.string())}), characters)]
    assert [text for piece in pieces for text in piece] == texts
    assert all(sum(map(len, piece[:-1])) < characters <= sum(map(len, piece)) for piece in pieces[:-1])


def test_rows_come_in_the_order_of_the_query_while_the_workspace_does_other_things(tmp_path: Path) -> None:
    count = AT_ONCE * 2 + 3
    with workspace(tmp_path, threads=1, memory="200MB") as work:
        work.connection.execute(f"CREATE TABLE numbers AS SELECT range AS n FROM range({count})")
        found = []
        for row in rows(work, "SELECT n, n * 2 AS twice FROM numbers ORDER BY n DESC"):
            found.append(row)
            assert work.number("SELECT 1") == 1
    assert found == [{"n": n, "twice": 2 * n} for n in reversed(range(count))]
