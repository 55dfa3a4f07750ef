"""Documents and rows read and written a few at a time are the same documents and rows."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.documents.database import open_database
from data.documents.rows import FETCH_ROWS, LEDGER, PENDING_CHARACTERS, PENDING_ROWS, RowGroup, RowWriter, rows
from data.documents.stream import BATCH_ROWS, DocumentWriter, batches, slices


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(1, 60))
def test_slices_hold_every_row_in_order_and_close_when_they_are_full(texts: list[str], characters: int) -> None:
    table = pa.table({"text": pa.array(texts, pa.string())})
    parts = [[row["text"] for row in part.to_pylist()] for part in slices(table, characters)]
    assert [text for part in parts for text in part] == texts
    assert all(sum(map(len, part[:-1])) < characters <= sum(map(len, part)) for part in parts[:-1])


def test_rows_come_in_the_order_of_the_query_while_the_database_runs_other_queries(tmp_path: Path) -> None:
    count = FETCH_ROWS * 2 + 3
    with open_database(tmp_path, threads=1, memory="200MB") as work:
        work.connection.execute(f"CREATE TABLE numbers AS SELECT range AS n FROM range({count})")
        found = []
        for row in rows(work, "SELECT n, n * 2 AS twice FROM numbers ORDER BY n DESC"):
            found.append(row)
            assert work.number("SELECT 1") == 1
    assert found == [{"n": n, "twice": 2 * n} for n in reversed(range(count))]


def test_rows_packed_in_parts_give_the_bytes_of_one_table(tmp_path: Path) -> None:
    count = PENDING_ROWS * 5 + 3
    made = [{"id": f"{n:016x}", "rule": "r" if n % 7 else None, "net": n, "detail": "d" * (n % 50)} for n in range(count)]
    writer = RowWriter(tmp_path / "parts.parquet", LEDGER)
    for row in made:
        writer.write(row)
    writer.close()
    with pq.ParquetWriter(tmp_path / "whole.parquet", LEDGER, compression="zstd") as whole:
        whole.write_table(pa.Table.from_pylist(made, schema=LEDGER))
    assert (tmp_path / "parts.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize(("count", "characters"), [(20_000, 1), (50, PENDING_CHARACTERS)])
def test_only_a_few_rows_of_a_group_are_python_objects_at_any_time(count: int, characters: int) -> None:
    columns: dict[str, pa.DataType] = {"n": pa.int64(), "text": pa.string()}
    group, text = RowGroup(pa.schema(columns)), "x" * characters
    tracemalloc.start()
    try:
        for number in range(count):
            group.add({"n": number, "text": f"{number}{text}"}, characters)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held < 4 * PENDING_CHARACTERS
    assert group.take().to_pylist() == [{"n": number, "text": f"{number}{text}"} for number in range(count)]
    assert group.rows == group.characters == group.take().num_rows == 0


def test_documents_of_a_few_characters_close_row_groups_and_batches_by_their_number(tmp_path: Path) -> None:
    empty = {"title": "", "source": "s", "text": "", "metadata": "{}", "synthetic": False}
    count = BATCH_ROWS * 2 + 7
    with DocumentWriter(tmp_path / "documents.parquet") as writer:
        for number in range(count):
            writer.write({"id": f"{number:016x}", **empty})
    groups = pq.ParquetFile(tmp_path / "documents.parquet").metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [BATCH_ROWS, BATCH_ROWS, 7]
    assert [table.num_rows for table in batches(tmp_path / "documents.parquet", ("id",))] == [BATCH_ROWS, BATCH_ROWS, 7]
