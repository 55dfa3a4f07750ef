"""The documents of several files are read as those of one, in the order of their ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.documents import stream as reading
from data.documents.rows import DOCUMENTS
from data.documents.stream import merged, merged_batches


def _write(path: Path, ids: Sequence[str]) -> Path:
    rows = [
        {"id": name, "title": name, "source": "test", "text": f"The text of {name}.", "metadata": "{}", "synthetic": False} for name in ids
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS), path, row_group_size=3)
    return path


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=40), st.integers(1, 7))
def test_any_division_into_files_reads_as_one_file(places: list[int], rows: int) -> None:
    names = [f"{number:04}" for number in range(len(places))]
    with TemporaryDirectory() as folder:
        shards = [[name for name, place in zip(names, places, strict=True) if place == shard] for shard in range(5)]
        files = [_write(Path(folder) / f"{shard}.parquet", held) for shard, held in enumerate(shards)]
        batches = list(merged_batches(files, ("text",), rows))
        assert [text for batch in batches for text in batch["text"].to_pylist()] == [f"The text of {name}." for name in names]
        assert all(batch.schema.names == ["text"] and 0 < batch.num_rows <= rows for batch in batches)
        assert [row for table in merged(files) for row in table.to_pylist()] == pq.read_table(
            _write(Path(folder) / "all", names)
        ).to_pylist()


def test_files_whose_ids_ascend_are_open_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: set[Path] = set()
    most = 0
    plain = reading._batches

    def counted(path: Path, columns: tuple[str, ...], rows: int) -> Iterator[pa.RecordBatch]:
        nonlocal most
        opened.add(path)
        most = max(most, len(opened))
        try:
            yield from plain(path, columns, rows)
        finally:
            opened.discard(path)

    monkeypatch.setattr(reading, "_batches", counted)
    files = [_write(tmp_path / f"{shard}.parquet", [f"{shard}{number:03}" for number in range(50)]) for shard in range(6)]
    assert sum(batch.num_rows for batch in merged_batches(files[::-1], rows=8)) == 300
    assert most == 1
    files = [_write(tmp_path / f"{shard}.parquet", [f"{number:03}{shard}" for number in range(50)]) for shard in range(6)]
    ids = [row["id"] for batch in merged_batches(files, rows=8) for row in batch.to_pylist()]
    assert most == 6 and ids == sorted(ids) and len(ids) == 300


def test_one_of_several_files_whose_ids_do_not_ascend_is_refused_by_name(tmp_path: Path) -> None:
    files = [_write(tmp_path / "a.parquet", ["1", "2"]), _write(tmp_path / "b.parquet", ["4", "3"])]
    with pytest.raises(ValueError, match=r"b\.parquet: its ids don't ascend.*sort it by id"):
        list(merged(files))
    assert [name for table in merged(files[1:]) for name in table["id"].to_pylist()] == ["4", "3"]
