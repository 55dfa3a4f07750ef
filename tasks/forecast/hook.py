"""The hook by which a stage states how much work it does, `@stage(hooks=(WorkHook(trained_operations),))`.

Without one it grows with the bytes of its inputs. A hook is part of no key: editing one reruns nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.forecast.execution import Execution
from tasks.forecast.measures import (
    evaluated_kind,
    evaluated_operations,
    input_bytes,
    paired_operations,
    parameters,
    revised_kind,
    revised_operations,
    trained_operations,
    training_kind,
)
from tasks.stage.stage import STAGES, Hook


def _alike(_: Execution) -> str:
    return ""


@dataclass(frozen=True)
class WorkHook(Hook):
    """How long executions of a stage take, compared with each other.

    `measure`: how much there is to do, in a unit of its own; None if nothing tells, as when an input's size is not known.
    `unit`: what people call it. `group`: executions of another group say nothing about this one.
    `start`: processor seconds that an execution takes however little there is to do.
    `all_cores`: it computes on every core that it may use, so on an idle machine it takes its processor time divided by those.
    `operations`: its work is counted in floating-point operations, so the machine's speed gives an estimate without earlier runs.
    `size`: what the bytes that it writes are in proportion to; None: its work.
    """

    measure: Callable[[Execution], float | None] = input_bytes
    unit: str = "bytes"
    group: Callable[[Execution], str] = _alike
    start: float = 0.1
    all_cores: bool = False
    operations: bool = False
    size: Callable[[Execution], float | None] | None = None


TRAINING = WorkHook(trained_operations, "operations", training_kind, start=3.5, all_cores=True, operations=True, size=parameters)
PAIRING = WorkHook(paired_operations, "operations", evaluated_kind, start=0.4, all_cores=True)
REVISING = WorkHook(revised_operations, "operations", revised_kind, start=0.4, all_cores=True)
EVALUATING = WorkHook(evaluated_operations, "operations", evaluated_kind, start=0.4, all_cores=True)


def work_hook(stage: str) -> WorkHook:
    """Return a stage's hook by the stage's name."""
    known = STAGES.get(stage)
    return (known and known.hook(WorkHook)) or WorkHook()
