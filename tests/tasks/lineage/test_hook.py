"""Every stage of the pipeline answers lineage, and no hook is part of what identifies a stage's code."""

from __future__ import annotations

import flows.pipeline  # noqa: F401  # its chapters import every stage, and so fill STAGES
from tasks.lineage.hook import LineageHook
from tasks.stage.identity.fingerprint import fingerprint
from tasks.stage.stage import STAGES

OURS = {name: stage for name, stage in STAGES.items() if stage.body.__module__.startswith("tasks.")}


def test_every_stage_of_the_pipeline_has_a_hook() -> None:
    assert len(OURS) >= 20
    assert not [name for name, stage in OURS.items() if stage.hook(LineageHook) is None]


def test_no_hook_is_part_of_a_stage_s_fingerprint() -> None:
    hooks = {f"{module.replace('.', '/')}.py" for stage in OURS.values() for hook in stage.hooks for module in [type(hook).__module__]}
    assert hooks == {"tasks/lineage/hook.py", "tasks/reporting/hook.py"}
    for name, stage in OURS.items():
        seen = fingerprint(stage.body.__module__, stage.body.__name__)
        assert not [code for code in seen if code.startswith(("tasks/lineage/", "tasks/reporting/", "data/provenance/"))], name
        inspect = getattr(stage.hook(LineageHook), "inspect", None)
        assert inspect is not None and not [code for code in seen if code.endswith(f":{inspect.__name__}")], name
