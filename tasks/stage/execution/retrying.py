"""Run a stage's task again after a transient fault, as Prefect does it: the task run waits as AwaitingRetry, each time twice as long.

The delays follow from the number of the try alone. An interrupt ends the wait of the run's own process at once.
"""

from __future__ import annotations

from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import task_run as current

from tasks.stage.execution.bodies.transient import is_transient
from tasks.stage.system.interrupts import was_interrupted
from tasks.stage.system.progress import log

FIRST_SECONDS, LONGEST_SECONDS = 2, 60


def delays(retries: int) -> list[float]:
    """Return the seconds before each retry."""
    return [float(min(FIRST_SECONDS * 2**number, LONGEST_SECONDS)) for number in range(retries)]


def may_pass(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Return whether to run a failed task again, and say so. Prefect asks only while retries are left."""
    error = state.data
    if not isinstance(error, Exception) or not is_transient(error) or was_interrupted():
        return False
    seconds = delays(task.retries)[run.run_count - 1]
    first = next(iter(str(error).splitlines()), "").rstrip(".")
    again = f"runs again in {seconds:g} s (retry {run.run_count} of {task.retries})"
    log(f"{run.name}: {type(error).__name__}: {first}; {again}")
    return True


def retries_so_far() -> int:
    """Return how often the current task was run again."""
    return max(0, int(current.run_count or 0) - 1)
