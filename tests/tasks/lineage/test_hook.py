"""Every stage of the pipeline answers lineage, and no hook counts in what a stage is known by."""

from __future__ import annotations

import flows.pipeline  # noqa: F401  # its chapters import every stage, and so fill STAGES
from tasks.lineage.hook import LineageHook
from tasks.project import FOLIO
from tasks.stage.stage import STAGES

OURS = {name: stage for name, stage in STAGES.items() if stage.body.__module__.startswith("tasks.")}


def test_every_stage_of_the_pipeline_has_a_hook() -> None:
    assert len(OURS) >= 20
    assert not [name for name, stage in OURS.items() if stage.hook(LineageHook) is None]


def test_no_hook_counts_in_a_trace() -> None:
    hooks = {f"{module.replace('.', '/')}.py" for stage in OURS.values() for hook in stage.hooks for module in [type(hook).__module__]}
    assert hooks == {"tasks/forecast/hook.py", "tasks/lineage/hook.py", "tasks/reporting/hook.py"}
    assert all(FOLIO.is_execution(path) for path in hooks)
