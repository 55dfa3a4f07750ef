"""Report: a page about a run, on disk and with the run in MLflow, and a short notice and the lineage in Prefect.

No stage, since it makes no artifact: it is written again at the end of every run, because what was reused, and why, differs each time.
The page is replaced as a whole or left as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact

from tasks.reporting.drawing_cache import use_drawing_cache
from tasks.reporting.headline import headline_metrics
from tasks.reporting.notice import lineage_notice, notice
from tasks.reporting.page import render
from tasks.reporting.summary import RunSummary
from tasks.stage.execution.run import PipelineRun, current_run
from tasks.stage.system.atomic_files import write_atomically
from tasks.stage.system.progress import log


@contextmanager
def reported() -> Iterator[None]:
    """Report at the end of the block, also if a gate or an error stopped the run: that is when the page is needed most."""
    try:
        yield
    except Exception as error:
        try:
            report()
        except Exception as other:  # noqa: BLE001  # the first error matters more, whatever this one is
            error.add_note(f"The report could not be written: {other}")
        raise
    report()


def report() -> None:
    """Write the report of the current run, unless it only plans."""
    if not current_run().options.planning:
        _report()


@task(name="report", task_run_name="report")
def _report() -> None:
    run = current_run()
    summary = RunSummary.of(run)
    with use_drawing_cache(run.home / "cache" / "drawings"):
        page = write_page(run, summary)
        told, lineage = notice(summary, page), lineage_notice(summary) if run.artifacts else ""
    run.note(page=str(page), description=told, headline=headline_metrics(summary.results))
    name = run.name.lower().replace("_", "-")
    create_markdown_artifact(key=f"report-{name}", markdown=told, description=f"Results of the run of {run.name}")
    if lineage:
        description = f"What the results of the run of {run.name} were made from"
        create_markdown_artifact(key=f"lineage-{name}", markdown=lineage, description=description)
    log(f"report: {page}")


def write_page(run: PipelineRun, summary: RunSummary) -> Path:
    """Write the page of a run into its home and return its path. Raises FileNotFoundError naming the artifact if a file is missing."""
    page = run.home / "reports" / f"{run.name}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, render(summary).encode())
    return page
