"""Execute decisions as Prefect tasks: reuse artifacts from the store or run the jobs, and report both.

Shards that must run are mapped over the run's worker pool (`resources.runner`), as many at once as it has workers, which share the threads
and the memory that the recipe allows; a single call runs in the caller's thread and gets all of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

from prefect import Task
from prefect.task_engine import run_task_sync

from tasks.stage.execution.job import BufferedReporter, JobContext, Outcome, Reporter, StageJob
from tasks.stage.execution.retrying import delays, may_pass
from tasks.stage.execution.run import PipelineRun
from tasks.stage.execution.run_reporter import RunReporter
from tasks.stage.execution.run_task import run_task
from tasks.stage.execution.stage_call import StageCall
from tasks.stage.identity.tracing.libraries import installed
from tasks.stage.store.artifact import Artifact
from tasks.stage.system.interrupts import raise_if_interrupted
from tasks.stage.system.progress import format_duration, log, stage_done


def execute(run: PipelineRun, position: str, calls: Sequence[StageCall]) -> list[Artifact]:
    """Return the artifacts of a stage's calls, in their order, reused or made. Raises what a body raises."""
    raise_if_interrupted()
    reporter = RunReporter(run, position, calls[0])
    context = JobContext(run.store, run.root, run.home, run.record.id, run.started, run.traces, installed(run.traces.cache).versions)
    retries = run.resources.retries
    task = run_task.with_options(
        name=position,
        result_storage=run.home / "prefect-results",
        retries=retries,
        retry_delay_seconds=delays(retries),
        retry_condition_fn=may_pass,
    )
    to_run = [call for call in calls if call.decision.action == "run"]
    outcomes: dict[str, Outcome] = {}

    def done(job: StageJob, outcome: Outcome, task_run: UUID) -> None:
        made, name = outcome.artifact, job.call.decision.position
        outcomes[name] = outcome
        run.graph.returned(made, task_run)
        reporter.series(list(outcome.rows))
        if outcome.executed:
            tries = f", at try {outcome.retries + 1}" if outcome.retries else ""
            log(f"{name}: done in {format_duration(made.cost.wall_seconds)}{tries}, {made.name}")

    try:
        for call in calls:
            if call not in to_run:
                job = StageJob(context, call, run.resources, reporter)
                done(job, *_run_here(run, task, job))
        mapped = calls[0].shard is not None and run.pool.takes(len(to_run))
        resources = run.pool.share(len(to_run)) if mapped else run.resources
        elsewhere = mapped and run.pool.elsewhere
        pool = "" if calls[0].shard else run.resources.pools.get(calls[0].decision.stage, "")
        uncached_task = task.with_options(refresh_cache=True) if to_run else task
        # A worker can't write this run's record, so it is done here.
        if to_run and (elsewhere or pool):
            reporter.start()
        job_reporter: Reporter = BufferedReporter() if elsewhere else reporter
        jobs = [StageJob(context, call, resources, job_reporter, pool) for call in to_run]
        if mapped:
            run.pool.run(uncached_task, jobs, done, run.graph)
        else:
            for job in jobs:
                done(job, *_run_here(run, uncached_task, job))
    except BaseException as error:
        reporter.failed(error)
        raise
    artifacts = {call.decision.position: outcomes[call.decision.position].artifact for call in calls}
    executed = {name for name, outcome in outcomes.items() if outcome.executed}
    tried = {name: outcome.retries for name, outcome in outcomes.items()}
    reporter.done(artifacts, executed, {call.decision.position: call.decision for call in calls}, tried)
    stage_done(position)
    return list(artifacts.values())


def _run_here(run: PipelineRun, task: Task[..., Outcome], job: StageJob) -> tuple[Outcome, UUID]:
    """Run a job's task in this thread; return what it returns, and the id of the task run."""
    task_run, inputs = uuid4(), run.graph.inputs(job.call.given().values())
    outcome = run_task_sync(task, task_run_id=task_run, parameters=job.parameters(), dependencies=inputs)
    assert isinstance(outcome, Outcome)
    return outcome, task_run
