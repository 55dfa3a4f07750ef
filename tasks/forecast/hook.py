"""The hook by which a stage states how much work it does, `@stage(hooks=(WorkHook("tasks.forecast.work:trained_operations"),))`.

Without one it grows with the bytes of its inputs. A hook is part of no key: editing one reruns nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pkgutil import resolve_name

from tasks.forecast.execution import Execution
from tasks.stage.stage import STAGES, Hook


@dataclass(frozen=True)
class WorkHook(Hook):
    """The measure of a stage's work, by which the times of its executions are compared.

    `measure`: how much there is to do, in a unit of its own; None if nothing tells, as when an input's size is not known.
    `unit`: what people call it. `group`: executions of another group say nothing about this one.
    `start`: processor seconds that an execution takes however little there is to do.
    `all_cores`: it computes on every core that it may use, so on an idle machine it takes its processor time divided by those.
    `operations`: its work is counted in floating-point operations, so the machine's speed gives an estimate without earlier runs.
    `size`: what the bytes that it writes are in proportion to; "": its work.

    `measure`, `group` and `size` are functions of an execution, each as `module:name`: a stage's file names them and loads none.
    """

    measure: str = "tasks.forecast.work:input_bytes"
    unit: str = "bytes"
    group: str = "tasks.forecast.work:alike"
    start: float = 0.1
    all_cores: bool = False
    operations: bool = False
    size: str = ""

    def work(self, execution: Execution) -> float | None:
        """Return how much an execution has to do; None if nothing tells."""
        amount: float | None = resolve_name(self.measure)(execution)
        return amount

    def group_of(self, execution: Execution) -> str:
        """Return what must be equal for the times of two executions to compare."""
        group: str = resolve_name(self.group)(execution)
        return group

    def written(self, execution: Execution) -> float | None:
        """Return what the bytes that an execution writes are in proportion to."""
        amount: float | None = resolve_name(self.size or self.measure)(execution)
        return amount


TRAINING = WorkHook(
    "tasks.forecast.work:trained_operations",
    "operations",
    "tasks.forecast.work:training_kind",
    start=3.5,
    all_cores=True,
    operations=True,
    size="tasks.forecast.work:parameters",
)
PAIRING = WorkHook("tasks.forecast.work:paired_operations", "operations", "tasks.forecast.work:evaluated_kind", start=0.4, all_cores=True)
REVISING = WorkHook("tasks.forecast.work:revised_operations", "operations", "tasks.forecast.work:revised_kind", start=0.4, all_cores=True)
TEACHING = WorkHook("tasks.forecast.work:taught_requests", "requests", "tasks.forecast.work:taught_kind")
CONSULTING = WorkHook("tasks.forecast.work:consulted_operations", "operations", start=3.0, all_cores=True)
EVALUATING = WorkHook(
    "tasks.forecast.work:evaluated_operations", "operations", "tasks.forecast.work:evaluated_kind", start=0.4, all_cores=True
)


def work_hook(stage: str) -> WorkHook:
    """Return a stage's hook by the stage's name."""
    known = STAGES.get(stage)
    return (known and known.hook(WorkHook)) or WorkHook()
