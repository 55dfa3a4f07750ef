"""Run one stage in another work pool, for a run on another machine (`resources.pools`)."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from tasks.stage.execution.pools.run_side import FLOW
from tasks.stage.execution.pools.worker_side import work_on


@flow(name=FLOW, flow_run_name="{position}")
def stage_job(position: str, job: str) -> None:
    """Run one stage for a run that waits for it. A run starts this; there is nothing to fill in.

    Args:
        position: The stage's position in the flow, such as pretrain or tune.sft.
        job: The folder that holds the job, below folio's home, which this machine sees at the same path.
    """
    work_on(Path(job))
