"""The series of a run survive it: what a stage reported stands in the store, in its order, with its times."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest

from tasks.stage.store.series import SECONDS, SeriesWriter, read_series
from tasks.stage.store.store import Store, StoreError

RUN = "20261125T130501-3fa2bc"


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store."""
    return Store(str(tmp_path / "store") if request.param == "disk" else f"memory://{uuid.uuid4().hex}", tmp_path / "cache")


def test_rows_read_back_in_their_order_with_the_time_at_which_they_were_reported(store: Store) -> None:
    told: list[int] = []
    writer, began = SeriesWriter(store, RUN, lambda: told.append(1)), int(time.time() * 1000)
    writer.add("pretrain", [("train.loss", 2.0, 1), ("train.loss", float("nan"), 2)])
    writer.flush()
    writer.add("sft", [("train.loss", 1, 1)])
    writer.flush()
    writer.flush()
    (first, rows), (second, more) = read_series(store, RUN)
    assert [(row.position, row.metric, row.step) for row in rows] == [("pretrain", "train.loss", 1), ("pretrain", "train.loss", 2)]
    assert rows[0].value == 2.0 and rows[1].value != rows[1].value
    assert began <= rows[0].time <= time.time() * 1000
    assert [row.position for row in more] == ["sft"]
    assert len(told) == 2, "nothing is written when there is nothing new"
    assert list(read_series(store, RUN, second)) == [(second, more)]
    assert first < second


def test_rows_are_written_by_themselves_so_that_a_kill_loses_little(store: Store) -> None:
    writer = SeriesWriter(store, RUN, lambda: None)
    writer.add("pretrain", [("train.loss", 2.0, 1)])
    deadline = time.monotonic() + 60
    while not list(read_series(store, RUN)):
        assert time.monotonic() < deadline
        time.sleep(SECONDS / 10)


def test_rows_that_can_not_be_written_are_kept_for_the_next_time(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".runs").write_text("in the way")
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    writer = SeriesWriter(store, RUN, lambda: None)
    writer.add("pretrain", [("train.loss", 2.0, 1)])
    with pytest.raises(StoreError, match="the series of this run"):
        writer.flush()
    (tmp_path / "store" / ".runs").unlink()
    writer.flush()
    assert [rows[0].metric for _, rows in read_series(store, RUN)] == ["train.loss"]
