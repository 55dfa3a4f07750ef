"""Seconds are predicted with a range that holds, from few earlier executions or many, on an idle machine and on a busy one.

`recorded_costs.json` holds what 409 executions of real recipes took on two cores, most of them while much else ran: stage, group, run,
work, processor and wall seconds, and how much slower the stages around it were than on an idle machine. For 400 there is another run.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from tasks.forecast.hook import EVALUATING, TRAINING, WorkHook
from tasks.forecast.rates import Load, Range, Sample, predict

CORES = 2
HOOKS = {"pretrain": TRAINING, "tune": TRAINING, "evaluate": EVALUATING}
IDLE = Load(0.0, 0.0, CORES)


def left_out() -> dict[str, list[bool]]:
    """For each recorded execution, by stage: whether it took what is predicted from those of other runs."""
    groups = defaultdict(list)
    for stage, group, run, *cost in json.loads((Path(__file__).parent / "recorded_costs.json").read_text(encoding="utf-8")):
        groups[stage, group].append((run, *cost))
    covered: dict[str, list[bool]] = defaultdict(list)
    for (stage, _), rows in groups.items():
        hook = HOOKS.get(stage, WorkHook())
        threads = CORES if hook.all_cores else 1
        for run, work, _, wall, slowdown in rows:
            others = [Sample(amount, cpu, seconds) for other, amount, cpu, seconds, _ in rows if other != run]
            if others:
                busy = max(0.0, slowdown * CORES - threads)
                found = predict(others, work, start=hook.start, threads=threads, load=Load(busy, busy, CORES))
                covered[stage].append(found.low <= wall <= found.high)
    return covered


def test_four_in_five_recorded_executions_took_what_the_other_runs_predict() -> None:
    covered = left_out()
    everything = [one for found in covered.values() for one in found]
    assert len(everything) > 300
    assert sum(everything) >= 0.8 * len(everything)
    for stage in HOOKS:
        assert sum(covered[stage]) >= 0.8 * len(covered[stage]), stage


def trained(work: float, samples: list[Sample], load: Load = IDLE) -> Range:
    """What training takes; an earlier execution had both cores to itself."""
    return predict(samples, work, start=TRAINING.start, threads=CORES, load=load)


ONE = [Sample(1e13, 203.5, 105.0)]


def test_twice_the_work_takes_twice_the_time_beyond_the_start() -> None:
    once, twice = trained(1e13, ONE), trained(2e13, ONE)
    assert twice.likely - TRAINING.start == pytest.approx(2 * (once.likely - TRAINING.start))
    assert trained(64e13, ONE).likely == pytest.approx(64 * once.likely, rel=0.05)


def test_an_execution_like_the_last_one_takes_as_long() -> None:
    found = trained(1e13, ONE)
    assert found.likely == pytest.approx(105.0, rel=0.1)
    assert found.low < 105.0 < found.high


def test_the_start_is_not_scaled_so_a_tiny_run_says_little_of_a_long_one_and_less_work_takes_no_less_than_the_start() -> None:
    tiny = [Sample(1e9, 3.6, 3.5)]
    assert trained(2e9, tiny).likely < 1.2 * trained(1e9, tiny).likely
    far, near = trained(1e13, tiny), trained(1e13, ONE)
    assert far.high / far.low > 2 * near.high / near.low
    assert trained(1.0, ONE).likely > 0.9 * TRAINING.start


def test_a_range_is_wider_where_earlier_executions_differ_and_narrower_where_many_agree() -> None:
    agree = trained(1e13, ONE * 8)
    differ = trained(1e13, [Sample(1e13, seconds, seconds / 2) for seconds in (100, 400, 120, 350)])
    assert agree.high / agree.low < trained(1e13, ONE).high / trained(1e13, ONE).low < differ.high / differ.low


def test_a_busy_machine_takes_longer_by_what_else_wants_its_cores_and_the_low_end_is_for_an_idle_one() -> None:
    idle, busy = trained(1e13, ONE), trained(1e13, ONE, Load(6.0, 6.0, CORES))
    assert busy.likely == pytest.approx(idle.likely * 4, rel=0.1)
    assert busy.low == idle.low
    assert busy.high > 4 * idle.high


def test_what_ran_in_the_last_minute_alone_does_not_lengthen_an_hour() -> None:
    moment = Load(20.0, 0.0, CORES)
    assert trained(64e13, ONE, moment).likely == trained(64e13, ONE).likely
    assert trained(1e11, ONE, moment).likely > 5 * trained(1e11, ONE).likely


def test_an_earlier_execution_that_shared_the_machine_counts_by_its_processor_time() -> None:
    shared = [Sample(1e13, 203.5, 1221.0)]
    assert trained(1e13, shared).likely == pytest.approx(trained(1e13, ONE).likely, rel=0.1)


def test_work_on_an_accelerator_counts_by_the_clock_whatever_the_processor_does() -> None:
    card = [Sample(1e15, 900.0, 100.0, accelerated=True)]
    assert trained(1e15, card, Load(20.0, 20.0, CORES)).likely == pytest.approx(100.0)
