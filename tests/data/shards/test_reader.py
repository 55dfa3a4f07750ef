"""Reading shards: rows as written, no copy of the file, and refusal of damaged or foreign files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data.shards.metadata import SourceRows
from data.shards.reader import ShardReader
from data.shards.schema import ShardError
from tests.model.jobs import write_shards

LENGTH = 12
ROWS = (5, 5, 3)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Three files of random rows, and the rows."""
    chance = np.random.default_rng(0)
    shape = (sum(ROWS), LENGTH + 1)
    columns: dict[str, np.ndarray] = {
        "tokens": chance.integers(0, 500, shape).astype(np.uint16),
        "document": chance.integers(0, 3, shape).astype(np.uint16),
        "loss": chance.random(shape) < 0.5,
    }
    files: list[dict[str, Any]] = []
    start = 0
    for number, rows in enumerate(ROWS):
        arrays = {}
        for name, values in columns.items():
            flat = pa.array(values[start : start + rows].reshape(-1))
            arrays[name] = pa.FixedSizeListArray.from_arrays(flat, LENGTH + 1)
        batch = pa.RecordBatch.from_pydict(arrays)
        path = tmp_path / f"{number:05d}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        files.append({"name": path.name, "rows": rows, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
        start += rows
    counts = {"rows": sum(ROWS), "tokens": 100, "targets": 90, "bytes": 300}
    record = {"format": 1, "kind": "pretrain", "sequence_length": LENGTH, "vocab_size": 500, "dtype": "uint16"}
    text = json.dumps({**record, "tokenizer_digest": "a" * 64, "files": files, **counts})
    (tmp_path / "shards.json").write_text(text)
    return tmp_path, columns


def test_rows_are_read_as_written_in_any_order(
    written: tuple[Path, dict[str, np.ndarray]],
) -> None:
    directory, columns = written
    reader = ShardReader(directory)
    assert len(reader) == 13
    order = np.random.default_rng(1).permutation(13)
    for wanted in (order, [12, 0, 12], []):
        rows = reader.rows(wanted)
        for name, values in columns.items():
            assert np.array_equal(rows[name], values[np.asarray(wanted, dtype=np.int64)]), name
    assert rows["tokens"].dtype == np.int64
    assert rows["loss"].dtype == np.bool_


def test_a_view_is_the_mapped_file_itself(written: tuple[Path, dict[str, np.ndarray]]) -> None:
    directory, columns = written
    before = pa.total_allocated_bytes()
    view = ShardReader(directory).view("tokens", 1)
    assert pa.total_allocated_bytes() == before
    assert not view.flags.owndata
    assert not view.flags.writeable
    assert np.array_equal(view, columns["tokens"][5:10])


def test_a_row_outside_is_an_index_error(written: tuple[Path, dict[str, np.ndarray]]) -> None:
    with pytest.raises(IndexError, match="holds 13"):
        ShardReader(written[0]).rows([13])
    with pytest.raises(IndexError):
        ShardReader(written[0]).rows([-1])


def test_another_tokenizer_is_refused_even_with_the_same_vocabulary(
    written: tuple[Path, dict[str, np.ndarray]],
) -> None:
    reader = ShardReader(written[0])
    reader.expect("a" * 64, vocab_size=500)
    with pytest.raises(ShardError, match="encode it again"):
        reader.expect("b" * 64, vocab_size=500)
    with pytest.raises(ShardError, match="the model has 501"):
        reader.expect("a" * 64, vocab_size=501)


def test_verify_names_the_file_with_one_flipped_bit(written: tuple[Path, dict[str, np.ndarray]]) -> None:
    directory, _ = written
    ShardReader(directory).verify()
    content = bytearray((directory / "00001.arrow").read_bytes())
    content[len(content) // 2] ^= 1
    (directory / "00001.arrow").write_bytes(content)
    with pytest.raises(ShardError, match=r"00001\.arrow has digest"):
        ShardReader(directory).verify()


def test_a_missing_truncated_or_foreign_directory_is_refused(
    written: tuple[Path, dict[str, np.ndarray]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory, _ = written
    with pytest.raises(ShardError, match="does not exist"):
        ShardReader(tmp_path_factory.mktemp("empty"))
    content = (directory / "00000.arrow").read_bytes()
    (directory / "00000.arrow").write_bytes(content[: len(content) // 2])
    with pytest.raises(ShardError, match=r"00000\.arrow cannot be read"):
        ShardReader(directory)
    (directory / "shards.json").write_text('{"format": 9, "kind": "pretrain", "files": []}')
    with pytest.raises(ShardError, match="format 9"):
        ShardReader(directory)


def test_sources_are_those_of_shards_json_if_it_has_any(written: tuple[Path, dict[str, np.ndarray]]) -> None:
    directory, _ = written
    assert ShardReader(directory).metadata.sources == ()
    record = json.loads((directory / "shards.json").read_text())
    (directory / "shards.json").write_text(json.dumps({**record, "sources": [{"name": "books", "rows": 13}]}))
    assert ShardReader(directory).metadata.sources == (SourceRows("books", 13),)


@pytest.mark.parametrize("length", [2, 6, 7, 8, 15, 16])
def test_loss_bits_are_right_wherever_in_a_byte_a_row_begins(tmp_path: Path, length: int) -> None:
    loss = np.random.default_rng(length).random((29, length + 1)) < 0.5
    tokens = np.zeros(loss.shape, dtype=np.uint16)
    reader = ShardReader(write_shards(tmp_path / "rows", "pretrain", {"tokens": tokens, "document": tokens, "loss": loss}))
    order = np.random.default_rng(0).permutation(29)
    assert np.array_equal(reader.rows(order)["loss"], loss[order])
