"""Report: a page about a run and the card of its release, on disk and in MLflow, and a short notice and the lineage in Prefect.

No stage, since it makes no artifact: it is written at the end of every run, because what was reused, and why, differs each time. A page is
written whole or not at all. A run that was stopped gets no page, only its line in the list of all runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from uuid import UUID

from httpx import HTTPError
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client

from tasks.reporting.card import write_card
from tasks.reporting.headline import headline_metrics, lineage_notice, notice
from tasks.reporting.page import list_stopped, write_page
from tasks.reporting.page_cache import use_page_cache
from tasks.reporting.summary import RunSummary
from tasks.stage.execution.run import PipelineRun, RunStopped, current_run
from tasks.stage.system.explanations import explain
from tasks.stage.system.progress import log
from tasks.stage.tracking.run_page import LONGEST_CHANGE, changes_of, what_changed

MOST_TAGS = 5


@contextmanager
def reported() -> Iterator[None]:
    """Report at the end of the block, also if a gate or an error stopped the run: that is when the page is needed most."""
    try:
        yield
    except BaseException as error:
        try:
            report(error)
        except Exception as other:  # noqa: BLE001  # the first error matters more than any raised here
            error.add_note(f"The report could not be written: {other}")
        raise
    report()


def report(error: BaseException | None = None) -> None:
    """Write the report of the current run, which `error` ended, unless it only plans."""
    run = current_run()
    if run.options.planning:
        return
    if error is None or isinstance(error, Exception):
        _report("" if error is None else explain(error), stopped=isinstance(error, RunStopped))
    else:
        list_stopped(run.home, RunSummary.of(run))


@task(name="report", task_run_name="report")
def _report(failure: str = "", *, stopped: bool = False) -> None:
    run = current_run()
    summary = RunSummary.of(run, failure, stopped=stopped)
    # Prefect's server answers meanwhile.
    with use_page_cache(run.home / "cache" / "pages"), ThreadPoolExecutor(2) as waiting:
        shown = []
        if run.artifacts:
            description = f"What the results of the run of {run.name} were made from"
            shown.append(waiting.submit(copy_context().run, _show_in_prefect, "lineage", run.name, lineage_notice(summary), description))
        page = write_page(run.home, summary)
        told = notice(summary, page)
        shown.append(waiting.submit(copy_context().run, _show_in_prefect, "report", run.name, told, f"Results of the run of {run.name}"))
        if run.record.flow_run_id:
            shown.append(waiting.submit(copy_context().run, _call_in_prefect, run, finished=not failure))
        card = None if failure or stopped else write_card(run)
    run.note(page=str(page), card=str(card or ""), description=told, headline=headline_metrics(summary.results))
    try:
        for one in shown:
            one.result()
    except HTTPError as error:
        log(f"Prefect does not show the report, since its server does not answer ({type(error).__name__})")
    log(f"report: {page}")


def _show_in_prefect(kind: str, recipe: str, markdown: str, description: str) -> None:
    create_markdown_artifact(key=f"{kind}-{recipe.lower().replace('_', '-')}", markdown=markdown, description=description)


def _call_in_prefect(run: PipelineRun, *, finished: bool) -> None:
    """Name the flow run by its recipe and what had changed, and tag it with both, so that a list of runs tells them apart."""
    status = "finished" if finished else run.record.status
    record = run.record.model_copy(update={"positions": dict(run.positions), "status": status})
    changed = what_changed(record)
    tags = [run.name, *(change[:LONGEST_CHANGE] for change in changes_of(record)[:MOST_TAGS])]
    with get_client(sync_client=True) as client:
        client.update_flow_run(UUID(record.flow_run_id), name=f"{run.name}: {changed}" if changed else run.name, tags=tags)
