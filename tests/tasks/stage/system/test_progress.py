"""The progress of a long step in a log."""

from __future__ import annotations

import logging

import pytest

from tasks.stage.system import progress
from tasks.stage.system.progress import ProgressMeter, format_duration


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of a meter that shows every step, each 8 seconds after its start."""
    caplog.set_level(logging.INFO, "folio")
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    logging.getLogger("folio").addHandler(caplog.handler)
    meter = ProgressMeter("clean")
    meter.terminal, meter.started = False, meter.started - 8
    meter.show(0, 100, "starting")
    meter.show(1, 100)
    meter.show(20, 100)
    meter.show(20, 100, "loss 1.000", seconds_left=60)
    meter.show(100, 100)
    logging.getLogger("folio").removeHandler(caplog.handler)
    return list(dict.fromkeys(record.getMessage().strip() for record in caplog.records))


def test_what_remains_is_told_once_it_can_be_known(told: list[str]) -> None:
    assert told == [
        "clean: 0/100 starting, 0:08 spent",
        "clean: 1/100, 0:08 spent",
        "clean: 20/100, 0:08 spent, 0:32 left",
        "clean: 20/100 loss 1.000, 0:08 spent, 1:00 left",
        "clean: 100/100, 0:08 spent, 0:00 left",
    ]


def test_a_log_holds_the_first_step_of_ten_seconds_and_the_last_of_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "folio")
    logging.getLogger("folio").addHandler(caplog.handler)
    meter = ProgressMeter("pack")
    meter.terminal, meter.shown = False, meter.started
    for step in range(1, 51):
        meter.show(step, 50)
    logging.getLogger("folio").removeHandler(caplog.handler)
    assert {record.getMessage().split(",")[0].strip() for record in caplog.records} == {"pack: 50/50"}


def test_hours_appear_when_there_are_any() -> None:
    assert [format_duration(seconds) for seconds in (0.4, 75.2, 3600, 7325)] == ["0:00", "1:15", "1:00:00", "2:02:05"]
