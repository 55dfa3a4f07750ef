"""The format of packed rows: any columns come back as they were written, and what is damaged or wrong is refused by name."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.shards.metadata import ShardCounts
from data.shards.reader import ShardReader
from data.shards.schema import TYPES, ShardError, usual_modality
from data.shards.writer import ShardWriter, write_shards

DIGEST = "d" * 64
Columns = Mapping[str, np.ndarray[Any, Any]]


class Bound(TypedDict):
    """What shards say of the rows that they hold."""

    sequence_length: int
    tokenizer_digest: str
    vocab_size: int


BOUND: Bound = {"sequence_length": 16, "tokenizer_digest": DIGEST, "vocab_size": 500}


@st.composite
def generated_columns(draw: st.DrawFn) -> dict[str, np.ndarray[Any, Any]]:
    """Some columns of one number of rows, each of any type and of a shape of up to three dimensions, filled with any bits."""
    rows = draw(st.integers(1, 12))
    names = draw(st.lists(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), min_size=1, max_size=5, unique=True))
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    columns = {}
    for name in names:
        dtype, shape = np.dtype(draw(st.sampled_from(sorted(TYPES)))), tuple(draw(st.lists(st.integers(1, 5), max_size=3)))
        bits = chance.bytes(rows * int(np.prod(shape)) * dtype.itemsize)
        values = np.frombuffer(bits, dtype=np.uint8) % 2 == 1 if dtype == np.bool_ else np.frombuffer(bits, dtype=dtype)
        columns[name] = values.reshape(rows, *shape)
    return columns


def same_bits(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    """Whether two arrays have one type and shape and equal values, NaN being equal to NaN."""
    return one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


@settings(max_examples=60, deadline=None)
@given(columns=generated_columns(), shard_rows=st.integers(1, 13), seed=st.integers(0, 2**32))
def test_any_columns_are_read_as_they_were_written_in_any_order(columns: dict[str, np.ndarray], shard_rows: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), "generated", columns, shard_rows=shard_rows, **BOUND)
        reader = ShardReader(folder)
        reader.verify()
        order = np.random.default_rng(seed).permutation(len(reader))
        rows = reader.rows(order)
        assert rows.keys() == columns.keys() == reader.columns.keys()
        for name, values in columns.items():
            column = reader.column(name)
            assert (column.dtype, column.shape) == (values.dtype, values.shape[1:])
            assert column.modality == usual_modality(values.dtype, values.shape[1:])
            assert same_bits(rows[name], values[order].astype(column.read_dtype)), column
            if values.dtype != np.bool_:
                stored = np.concatenate([reader.view(name, file) for file in range(len(reader.metadata.files))])
                assert stored.tobytes() == values.tobytes(), column


@settings(max_examples=20, deadline=None)
@given(columns=generated_columns(), shard_rows=st.integers(1, 13), parts=st.integers(1, 5))
def test_equal_rows_give_equal_bytes_however_they_are_added(columns: dict[str, np.ndarray], shard_rows: int, parts: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        once, often = Path(folder) / "once", Path(folder) / "often"
        write_shards(once, "generated", columns, shard_rows=shard_rows, **BOUND)
        writer = ShardWriter(often, shard_rows)
        pieces = {name: np.array_split(values, parts) for name, values in columns.items()}
        for number in range(parts):
            writer.add({name: piece[number] for name, piece in pieces.items()})
        writer.close("generated", **BOUND)
        assert {path.name: path.read_bytes() for path in once.iterdir()} == {path.name: path.read_bytes() for path in often.iterdir()}


@settings(max_examples=80, deadline=None)
@given(columns=generated_columns(), seed=st.integers(0, 2**32))
def test_a_file_with_any_flipped_bit_is_found_out(columns: dict[str, np.ndarray], seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), "generated", columns, **BOUND)
        path = Path(folder) / "00000.arrow"
        content = bytearray(path.read_bytes())
        place = int(np.random.default_rng(seed).integers(8 * len(content)))
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        with pytest.raises(ShardError, match=r"00000\.arrow"):
            ShardReader(folder).verify()


ROWS: Columns = {
    "tokens": np.arange(51, dtype=np.uint16).reshape(3, 17),
    "log_probability": np.linspace(-1, 0, 51, dtype=np.float32).reshape(3, 17),
    "reward": np.array([0.5, 1, 0], dtype=np.float32),
    "group": np.array([0, 0, 1]),
}


def test_a_kind_of_rows_that_nobody_has_registered_needs_no_change_of_reader_or_writer(tmp_path: Path) -> None:
    written = write_shards(tmp_path, "rollouts", ROWS, modalities={"group": "documents"}, counts=ShardCounts(tokens=51), **BOUND)
    reader = ShardReader(tmp_path)
    assert reader.metadata == written and (written.kind, written.rows, written.tokens) == ("rollouts", 3, 51)
    assert [column.modality for column in reader.columns.values()] == ["tokens", "numbers", "numbers", "documents"]
    rows = reader.rows([2, 0])
    assert rows["group"].tolist() == [1, 0] and rows["group"].dtype == np.int64
    assert rows["reward"].tolist() == [0, 0.5] and rows["log_probability"].dtype == np.float32


def test_a_modality_is_written_only_where_type_and_shape_do_not_suggest_it(tmp_path: Path) -> None:
    write_shards(tmp_path, "rollouts", ROWS, modalities={"group": "documents", "reward": "numbers"}, **BOUND)
    schema = pa.ipc.open_file(pa.memory_map(str(tmp_path / "00000.arrow"))).schema
    assert {field.name: field.metadata for field in schema} == {
        "tokens": None,
        "log_probability": None,
        "reward": None,
        "group": {b"modality": b"documents"},
    }


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"word": np.array(["a", "b"])}, "column 'word' has type <U1"),
        ({"late": np.zeros((2, 0))}, "column 'late' has shape \\(2, 0\\)"),
        ({"one": np.zeros(2), "two": np.zeros(3)}, "got one .* with \\[2, 3\\] rows"),
        ({"not a name": np.zeros(2)}, "'not a name'"),
    ],
)
def test_columns_that_no_file_can_hold_are_refused_by_name(tmp_path: Path, columns: Columns, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        write_shards(tmp_path, "rows", columns, **BOUND)


def test_rows_unlike_those_before_are_refused(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 8)
    writer.add({"tokens": np.zeros((2, 17), dtype=np.uint16)})
    with pytest.raises(ValueError, match=r"has rows of tokens \(tokens, uint16 \[17\] a row\); got tokens \(tokens, uint16 \[16\] a row\)"):
        writer.add({"tokens": np.zeros((2, 16), dtype=np.uint16)})


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    write_shards(tmp_path, "rollouts", ROWS, **BOUND)
    with pytest.raises(ShardError, match="no column 'value'; its rollouts rows have tokens, log_probability, reward, group"):
        ShardReader(tmp_path).column("value")


def test_a_registered_kind_without_one_of_its_columns_is_refused_at_opening(tmp_path: Path) -> None:
    write_shards(tmp_path, "pretrain", {name: ROWS["tokens"] for name in ("tokens", "document")}, **BOUND)
    with pytest.raises(ShardError, match=r"00000\.arrow lacks \['loss'\], which pretrain rows have"):
        ShardReader(tmp_path)


def test_a_file_with_other_columns_than_the_first_is_refused_at_opening(tmp_path: Path) -> None:
    write_shards(tmp_path, "rollouts", ROWS, shard_rows=2, **BOUND)
    write_shards(tmp_path / "other", "rollouts", {**ROWS, "reward": ROWS["group"]}, shard_rows=1, **BOUND)
    (tmp_path / "00001.arrow").write_bytes((tmp_path / "other" / "00000.arrow").read_bytes())
    with pytest.raises(ShardError, match=r"00001\.arrow has reward \(integers, int64 \[\] a row\), unlike .*00000\.arrow"):
        ShardReader(tmp_path)


def test_an_arrow_type_that_no_column_has_is_named_with_its_column(tmp_path: Path) -> None:
    write_shards(tmp_path, "rollouts", ROWS, **BOUND)
    batch = pa.record_batch({"text": pa.array(["a", "b", "c"])})
    with pa.OSFile(str(tmp_path / "00000.arrow"), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(ShardError, match=r"00000\.arrow: column 'text' has type string.*write the rows again"):
        ShardReader(tmp_path)


def test_a_null_is_not_read_as_a_value(tmp_path: Path) -> None:
    write_shards(tmp_path, "rollouts", ROWS, **BOUND)
    batch = pa.record_batch({"reward": pa.array([0.5, None, 1], pa.float32())})
    with pa.OSFile(str(tmp_path / "00000.arrow"), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(ShardError, match="reward has 3 values of which 1 are null"):
        ShardReader(tmp_path)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": 1}', '{"format": 1, "files": [{"name": "a"}]}', '{"format": 1, "files": [], "x": 0}']
)
def test_a_damaged_shards_json_is_refused_with_its_path(tmp_path: Path, content: str) -> None:
    (tmp_path / "shards.json").write_text(content)
    with pytest.raises(ShardError, match=r"shards\.json .*write the rows again"):
        ShardReader(tmp_path)


def test_a_table_has_a_row_for_every_token_or_is_refused(tmp_path: Path) -> None:
    table = np.random.default_rng(0).random((500, 4)).astype(np.float16)
    writer = ShardWriter(tmp_path, 8)
    writer.add({**ROWS, "spelling": table[ROWS["tokens"]]})
    with pytest.raises(ValueError, match="the table of 'spelling' has 499 rows"):
        writer.close("rollouts", tables={"spelling": table[1:]}, **BOUND)
    writer.close("rollouts", tables={"spelling": table}, **BOUND)
    reader = ShardReader(tmp_path)
    rows = reader.rows([0, 1, 2])
    assert np.array_equal(reader.table("spelling")[rows["tokens"]], rows["spelling"])
    assert [entry["name"] for entry in json.loads((tmp_path / "shards.json").read_text())["tables"]] == ["spelling.arrow"]
