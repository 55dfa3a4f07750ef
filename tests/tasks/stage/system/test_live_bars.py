"""What a terminal shows while a run works."""

from __future__ import annotations

import io
import logging
import re

import pytest
from rich.console import Console

from tasks.stage.system.live_bars import LiveBars
from tasks.stage.system.progress import ProgressMeter, TerminalHandler, stage_done


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def bars(screen: io.StringIO) -> LiveBars:
    """Bars of a run of three stages on a terminal of 80 columns."""
    return LiveBars("universe", Console(file=screen, force_terminal=True, width=80))


def lines_of(screen: io.StringIO) -> list[str]:
    """What was ever written on the screen, without colours and movements."""
    return [line.rstrip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())) if line.strip()]


def meter(label: str) -> ProgressMeter:
    made = ProgressMeter(label)
    made.terminal = True
    return made


def test_each_step_and_the_run_as_a_whole_have_a_bar_with_what_is_done_and_what_is_left(bars: LiveBars, screen: io.StringIO) -> None:
    with bars.drawn():
        bars.expect({"ingest": 0.0, "pretrain": 600.0, "export": 5.0})
        stage_done("ingest")
        meter("pretrain").show(50, 200, "loss 2.031", seconds_left=95)
    last = lines_of(screen)[-2:]
    assert last[0].startswith("universe") and "1/3 stages" in last[0] and "10:05 left" in last[0]
    assert last[1].strip().startswith("pretrain") and "loss 2.031  50/200" in last[1] and "1:35 left" in last[1]
    assert max(map(len, lines_of(screen))) <= 80


def test_nothing_is_said_of_the_time_left_while_a_stage_ahead_has_never_run(bars: LiveBars, screen: io.StringIO) -> None:
    with bars.drawn():
        bars.expect({"ingest": 1.0, "pretrain": None})
        meter("ingest").show(1, 2, "", 4.0)
        stage_done("ingest")
    assert "1/2 stages" in lines_of(screen)[-2] and "left" not in lines_of(screen)[-2]


def test_lines_of_the_log_stand_above_the_bars_as_they_are(bars: LiveBars, screen: io.StringIO) -> None:
    logger = logging.getLogger("folio")
    handler = TerminalHandler(io.StringIO())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with bars.drawn():
            logger.info("clean[3]: runs because [red]file[/red] a.txt was added")
    finally:
        logger.removeHandler(handler)
    assert "clean[3]: runs because [red]file[/red] a.txt was added" in lines_of(screen)


def test_a_run_that_reuses_everything_draws_nothing(bars: LiveBars, screen: io.StringIO) -> None:
    with bars.drawn():
        stage_done("ingest")
    assert not lines_of(screen)


def test_a_long_note_is_cut_and_the_names_stay_whole(bars: LiveBars, screen: io.StringIO) -> None:
    with bars.drawn():
        bars.expect({"pretrain": 600.0})
        meter("pretrain").show(1, 200, "training; the share of the peak is relative to products measured at the start", seconds_left=95)
    run, step = lines_of(screen)[-2:]
    assert run.startswith("universe") and step.strip().startswith("pretrain")
    assert "training; " in step and "…  1/200" in step and "1:35 left" in step
