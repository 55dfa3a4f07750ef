"""Report: one page that tells of a run, for people, on disk and with the run in MLflow, and a short notice and its lineage in Prefect.

No stage, since it makes no artifact: it is written anew at the end of every run, because what was reused and why differs each time.
Guarantees: the page is whole or as it was before, never half; its figures are those of the artifacts; it changes no artifact.
Raises FileNotFoundError naming the artifact when a file that it shows is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact

from tasks.reporting.account import Account
from tasks.reporting.notice import lineage_notice, notice
from tasks.reporting.page import render
from tasks.stage.execution.run import PipelineRun, current_run
from tasks.stage.system.atomic_files import write_atomically
from tasks.stage.system.progress import log


@contextmanager
def reported() -> Iterator[None]:
    """Report at the end of the block; of a run that a gate or an error stopped, too: that is when a page is wanted most."""
    try:
        yield
    except Exception as error:
        try:
            report()
        except Exception as other:  # noqa: BLE001  # whatever it is, what stopped the run matters more
            error.add_note(f"The report could not be written: {other}")
        raise
    report()


def report() -> None:
    """Tell of the current run; nothing while planning."""
    if not current_run().options.planning:
        _report()


@task(name="report", task_run_name="report")
def _report() -> None:
    run = current_run()
    account = Account.of(run)
    page = write_page(run, account)
    if run.exporter is not None:
        run.exporter.page(page)
    name = run.name.lower().replace("_", "-")
    create_markdown_artifact(key=f"report-{name}", markdown=notice(account, page), description=f"What the run of {run.name} made")
    if run.artifacts:
        made_of = f"What the results of the run of {run.name} were made from"
        create_markdown_artifact(key=f"lineage-{name}", markdown=lineage_notice(account), description=made_of)
    log(f"report: {page}")


def write_page(run: PipelineRun, account: Account) -> Path:
    """Write the page of a run into its home; returns where."""
    page = run.home / "reports" / f"{run.name}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, render(account).encode())
    return page
