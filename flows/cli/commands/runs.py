"""`folio runs`, `status`, `stop`, `logs`, `report`: what ran, what is running, how to end it, and what came of it."""

from __future__ import annotations

import json
from itertools import islice
from typing import Annotated

import typer

from flows.cli.commands.arguments import AsJson, StoreUrl, complete_live_run, complete_recipe, complete_run, complete_stage
from flows.cli.running import (
    FoundRun,
    ask_to_stop,
    checkpoints,
    find_run,
    journal_of,
    live,
    log_lines,
    newest_progress,
    run_json,
    runs_table,
    status_lines,
    wait_for_end,
)
from flows.services.servers import states

app = typer.Typer()


@app.command()
def runs(
    recipe: Annotated[str, typer.Option(help="only the runs of this recipe", autocompletion=complete_recipe)] = "",
    limit: Annotated[int, typer.Option(min=1, help="how many, the newest first")] = 20,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """List the runs of a store: when they began, how they ended, and what they made or reused."""
    journal = journal_of(store)
    newest = (record for record in journal.newest() if recipe in ("", record.recipe))
    found = [(record, FoundRun(journal, record).status) for record in islice(newest, limit)]
    if as_json:
        print(json.dumps([run_json(record, status) for record, status in found], indent=1))
    else:
        print(runs_table(found) if found else f"no run{f' of {recipe}' if recipe else ''} in {journal.store.url}")


@app.command()
def status(
    run: Annotated[str, typer.Argument(help="a run's id, the beginning of it, or a recipe", autocompletion=complete_run)] = "",
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Show what is running: every live run with its progress, or one run; and the servers."""
    found = [find_run(run, store)] if run else live()
    if as_json:
        rows = [
            {
                **run_json(one.record, one.status),
                "stages": {position: stage.model_dump(mode="json", exclude={"config"}) for position, stage in one.record.stages.items()},
                "progress": newest_progress(one),
                "checkpoints": checkpoints(one),
            }
            for one in found
        ]
        print(json.dumps({"runs": rows, "servers": states()}, indent=1))
        return
    for one in found:
        print("\n".join(status_lines(one.record, one.status, newest_progress(one), checkpoints(one))))
    if not found:
        print("no run is live in this home")
    for name, state in states().items():
        print(f"{name}: {state}")


@app.command()
def stop(
    run: Annotated[
        str,
        typer.Argument(
            help="a run's id, the beginning of it, or a recipe; may be left out if one is live", autocompletion=complete_live_run
        ),
    ] = "",
    now: Annotated[bool, typer.Option("--now", help="end it at once instead of at a checkpoint")] = False,
    store: StoreUrl = "",
) -> None:
    """Stop a live run at its next checkpoint, and wait until it has. The same `folio run` continues it."""
    found = find_run(run, store)
    if found.status != "running":
        print(f"run {found.record.id} is not live: it {'was' if found.status in ('stopped',) else 'has'} {found.status}")
        return
    ask_to_stop(found, now=now)
    print(f"run {found.record.id}: {'ended' if now else 'asked to stop; waiting for its checkpoint'}", flush=True)
    ended = wait_for_end(found)
    print(f"run {ended.record.id}: {ended.record.status}" + (f"; {ended.record.error}" if ended.record.error else ""))


@app.command()
def logs(
    run: Annotated[
        str, typer.Argument(help="a run's id, the beginning of it, or a recipe for its newest run", autocompletion=complete_run)
    ],
    stage: Annotated[str, typer.Argument(help="only this stage or position", autocompletion=complete_stage)] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="keep printing until the run has ended")] = False,
    store: StoreUrl = "",
) -> None:
    """Print what a run has said, with times in UTC."""
    for line in log_lines(find_run(run, store), stage, follow=follow):
        print(line, flush=follow)


@app.command()
def report(
    run: Annotated[
        str,
        typer.Argument(
            help="a run's id, the beginning of it, or a recipe for its newest run; by default the newest of all",
            autocompletion=complete_run,
        ),
    ] = "",
    opened: Annotated[bool, typer.Option("--open", help="open its page in a browser, too")] = False,
    store: StoreUrl = "",
) -> None:
    """Print how a run ended: its verdict, its gates, how good its model is, and where its page is.

    Examples: `folio report`, `folio report universe --open`, `folio report universe~1` for the run before
    """
    from flows.cli.views.report import show_report  # loads Prefect

    print(show_report(run, store, opened=opened))
