"""The cost of an execution: shared by concurrent executions, accelerators counted separately, in money where prices are known."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tasks.stage.store.artifact import Cost
from tasks.stage.tracking.cost import Rates, Stopwatch, total_cost
from tests.tasks.exported import parent_of
from tests.tasks.records import artifact, written
from tests.tasks.toy_bodies import Learn
from tests.tasks.toys import Toys, Workshop


def work(seconds: float) -> None:
    """Keep a processor busy."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        sum(range(1000))


def test_what_runs_at_the_same_time_shares_the_processor_time_that_was_spent() -> None:
    before = time.process_time()
    first = Stopwatch()
    work(0.1)
    second = Stopwatch()
    work(0.2)
    one = first.stop()
    work(0.1)
    two = second.stop()
    spent = time.process_time() - before
    assert one.cpu_seconds + two.cpu_seconds == pytest.approx(spent, abs=0.05)
    assert one.cpu_seconds == pytest.approx(0.2, abs=0.05)
    assert two.cpu_seconds == pytest.approx(0.2, abs=0.05)


def test_what_runs_alone_is_charged_all_that_was_spent_in_its_time_and_nothing_before_or_after() -> None:
    work(0.1)
    watch = Stopwatch()
    work(0.2)
    cost = watch.stop()
    work(0.1)
    assert cost.cpu_seconds == pytest.approx(0.2, abs=0.08)
    assert cost.gpu_seconds == 0.0
    assert watch.stop() == cost


def test_accelerators_count_from_when_they_are_in_use_each_for_itself() -> None:
    watch = Stopwatch()
    time.sleep(0.1)
    watch.use(2)
    watch.use(2)
    time.sleep(0.2)
    watch.use(0)
    time.sleep(0.1)
    cost = watch.stop()
    assert cost.gpu_seconds == pytest.approx(0.4, abs=0.1)
    assert cost.wall_seconds > 0.39


def test_a_total_counts_each_execution_once(tmp_path: Path) -> None:
    made = artifact(written(tmp_path / "made", {"a": b"a"}), seconds=2.0)
    other = artifact(tmp_path / "made", name="other", seconds=3.0)
    assert total_cost([made, other, made]) == Cost(wall_seconds=5.0, cpu_seconds=10.0)


def test_money_is_core_hours_and_accelerator_hours_at_their_prices_and_unknown_without_any() -> None:
    cost = Cost(wall_seconds=9.0, cpu_seconds=7200.0, gpu_seconds=1800.0)
    assert Rates(cpu_hour=0.05, gpu_hour=3.0).price(cost) == pytest.approx(1.6)
    assert Rates(gpu_hour=3.0).price(cost) == pytest.approx(1.5)
    assert Rates().price(cost) is None


def test_a_stage_is_charged_for_the_accelerators_that_its_body_says_it_uses(workshop: Workshop) -> None:
    workshop.edit('executed("learn")', 'executed("learn"); work.uses(4); time.sleep(0.1)')
    made = workshop.run().artifacts
    assert made["learn"].cost.gpu_seconds >= 0.4
    assert made["count"].cost.gpu_seconds == 0.0


@pytest.mark.slow
def test_the_parent_run_in_mlflow_has_the_cost_of_all_that_it_is_made_of_however_little_ran(workshop: Workshop, database: str) -> None:
    workshop.tracking = database
    first = workshop.run()
    second = workshop.run(Toys(learn=Learn(rate=0.25), rates=Rates(cpu_hour=36000.0)))
    assert second.reused == {"collect", "count"}
    shown = parent_of(database, second).data.metrics
    whole = total_cost(second.artifacts.values())
    assert shown["cost.total.cpu_seconds"] == whole.cpu_seconds
    assert shown["cost.total.wall_seconds"] == whole.wall_seconds
    assert shown["cost.total.money"] == pytest.approx(10 * whole.cpu_seconds)
    assert "cost.total.money" not in parent_of(database, first).data.metrics
