"""`folio gc`, `verify` and `sync`: keep the store in order, and the servers told."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.commands.arguments import AsJson, StoreUrl
from flows.cli.running import sync
from flows.cli.snapshot import find_in_store, open_snapshot
from flows.recipe.validation import validate
from flows.services.home import home, store_url
from tasks.lineage.holdings import find_holdings
from tasks.reporting.wording import count, plural, size
from tasks.stage.execution.run import RunOptions
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.garbage import GarbageSurvey, VerificationReport, collect_garbage, exclusive_use, verify_artifacts
from tasks.stage.store.index import Damaged
from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.store.origin import now
from tasks.stage.store.store import Store, open_store
from tasks.stage.system.command_line import folio
from tasks.stage.system.progress import format_duration, log, show_on_terminal

app = typer.Typer()


@app.command()
def gc(
    delete: Annotated[bool, typer.Option("--delete", help="delete it; without this it is only listed")] = False,
    keep: Annotated[int, typer.Option(min=1, help="how many of each recipe's newest finished runs to keep")] = 3,
    keep_run: Annotated[list[str] | None, typer.Option(help="keep this run too, by its id or the beginning of it (repeatable)")] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="delete what holds this document or learned from it, even if a run needs it (repeatable)")
    ] = None,
    unrecorded: Annotated[bool, typer.Option("--unrecorded", help="include artifacts from before runs were recorded")] = False,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """List what no kept run and no registered model needs, or delete it. Refuses while a run is going on."""
    named, documents = tuple(keep_run or ()), tuple(without or ())
    print(garbage_report(delete=delete, keep=keep, named=named, without=documents, unrecorded=unrecorded, as_json=as_json, store=store))


@app.command()
def verify(
    heal: Annotated[bool, typer.Option("--heal", help="quarantine what is damaged and make it again")] = False,
    as_json: AsJson = False,
    store: StoreUrl = "",
) -> None:
    """Read every file in the store again and name what is damaged. Exits with 1 if anything is."""
    text, healthy = verify_store(heal=heal, as_json=as_json, store=store)
    print(text)
    if not healthy:
        raise typer.Exit(1)


@app.command("sync")
def sync_command(
    store: Annotated[str, typer.Argument(help="path or fsspec URL of a store; by default the one in folio's home")] = "",
) -> None:
    """Bring MLflow and Prefect up to date with a store's runs. Exits with 1 if that fails."""
    lines, told = sync(store)
    print("\n".join(lines))
    if not told:
        raise typer.Exit(1)


SHOWN = 40


def garbage_report(
    *, delete: bool, keep: int, named: tuple[str, ...], without: tuple[str, ...], unrecorded: bool, as_json: bool, store: str
) -> str:
    """Return what can be or was deleted, as text or JSON. `without`: documents whose artifacts and models are deleted."""
    opened = open_store(store or store_url(), Path.cwd(), home())
    condemned = _holding(without, store) if without else {}
    with _log_lines_shown(as_json):
        found = collect_garbage(opened, delete=delete, keep=keep, named=named, unrecorded=unrecorded, condemned=condemned)
    if as_json:
        runs = [{"id": kept.run.id, "recipe": kept.run.recipe, "status": kept.run.status, "why": kept.why} for kept in found.runs]
        held = {"recorded": found.recorded, "runs": runs, "artifacts": found.artifacts, "bytes": found.size, "unrecorded": found.unrecorded}
        waste = [asdict(waste) for waste in found.garbage]
        return json.dumps({"kept": held, "deleted": delete, "waste": waste, "bytes": sum(w.size for w in found.garbage)}, indent=1)
    return "\n".join(_garbage_lines(opened, found, delete))


def _holding(documents: tuple[str, ...], store: str) -> dict[str, str]:
    """Return the address of each artifact that holds one of the documents or learned from it, and why it goes."""
    snapshot = open_snapshot(store)
    return {
        holding.artifact.address: f"holds or learned from {document.name}"
        for document in (find_in_store(snapshot, text)[0] for text in documents)
        for holding in find_holdings(snapshot, document)
        if holding.parts or holding.learned
    }


def _garbage_lines(store: Store, found: GarbageSurvey, delete: bool) -> list[str]:
    held = f"{plural(found.artifacts, 'artifact')}, {size(found.size)}"
    if not found.recorded:
        return [f"{store.url} records no run, so nothing says what is needed: all of it is kept ({held})."]
    lines = [f"kept: run {kept.run.id} of {kept.run.recipe}, {kept.why}" for kept in found.runs]
    if found.unrecorded:
        lines.append(f"kept: {plural(found.unrecorded, 'artifact')} from before runs were recorded; --unrecorded includes them")
    lines.append(f"kept: {held}")
    width = max((len(waste.path) for waste in found.garbage), default=0)
    word = "deleted" if delete else "goes"
    sizeable = (waste for waste in found.garbage if waste.size or waste.kind == "artifact")
    listed = sorted(sizeable, key=lambda waste: waste.size, reverse=True)
    lines += [f"{word}: {waste.path:{width}}  {size(waste.size):>8}  {waste.kind}: {waste.why}" for waste in listed[:SHOWN]]
    if rest := len(found.garbage) - len(listed[:SHOWN]):
        lines.append(f"{word}: {count(rest)} more, locks and the like among them ({folio('gc', '--json')})")
    total = f"{plural(len(found.garbage), 'thing')}, {size(sum(waste.size for waste in found.garbage))}"
    if not found.garbage:
        return [*lines, "nothing can go"]
    return [*lines, f"deleted: {total}" if delete else f"can go: {total}. Nothing was deleted; do it with: {folio('gc', '--delete')}"]


@dataclass(frozen=True)
class Healed:
    """The result of healing. `aside`: where each damaged artifact was moved; `runs`: what each rerun recipe made, or why it failed."""

    aside: dict[str, str]
    runs: dict[str, str]
    healed: tuple[str, ...]
    left: dict[str, str]


def verify_store(*, heal: bool, as_json: bool, store: str) -> tuple[str, bool]:
    """Return what is damaged, or what was healed, as text or JSON; and whether the store is whole now."""
    opened = open_store(store or store_url(), Path.cwd(), home())
    with _log_lines_shown(as_json):
        findings = verify_artifacts(opened)
        healed = heal_store(opened, findings) if heal and findings.damaged else None
    well = not findings.damaged if healed is None else not healed.left
    if as_json:
        plain: dict[str, Any] = {**asdict(findings), **({} if healed is None else {"healing": asdict(healed)}), "well": well}
        return json.dumps(plain, indent=1), well
    return "\n".join([*_findings_lines(findings), *(_healed_lines(healed) if healed else _hint(findings, heal))]), well


def _findings_lines(findings: VerificationReport) -> list[str]:
    lines = [f"{damaged.location}: {problem}" for damaged in findings.damaged for problem in damaged.problems]
    wrong = f"{count(len(findings.damaged))} damaged" if findings.damaged else "nothing is damaged"
    lines += [f"{plural(number, 'artifact')} of another version of folio ({age}), not reused" for age, number in findings.old.items()]
    return [*lines, f"{plural(findings.artifacts, 'artifact')}, {size(findings.size)} read again: {wrong}"]


def _hint(findings: VerificationReport, heal: bool) -> list[str]:
    return [f"quarantine them and make them again: {folio('verify', '--heal')}"] if findings.damaged and not heal else []


def _healed_lines(healed: Healed) -> list[str]:
    lines = [f"{location}: quarantined in {folder}" for location, folder in healed.aside.items()]
    lines += [f"{recipe}: {outcome}" for recipe, outcome in healed.runs.items()]
    lines += [f"{location}: healed, made again and read again" for location in healed.healed]
    return [*lines, *(f"{location}: not healed; {why}" for location, why in healed.left.items())]


def heal_store(store: Store, findings: VerificationReport) -> Healed:
    """Quarantine what is damaged and run again what used it. Raises StoreError naming the run if one is going on."""
    with exclusive_use(store) as lock:
        aside = {d.location: store.quarantine(d, lock) for d in findings.damaged if store.fs.exists(f"{store.root}/{d.location}")}
    # The store is released first, because running a recipe uses it too.
    users = newest_users(Journal(store), {damaged.location for damaged in findings.damaged})
    outcomes = {run.recipe: _again(store, run) for run in users}
    wanted = {location for run in users for location in _locations(run)}
    left: dict[str, str] = {}
    for damaged in findings.damaged:
        if why := _still_wrong(store, damaged, damaged.location in wanted):
            left[damaged.location] = why
    healed = tuple(d.location for d in findings.damaged if d.location not in left and store.index.read(d.location) is not None)
    return Healed(aside, outcomes, healed, left)


def newest_users(journal: Journal, locations: set[str]) -> list[RunRecord]:
    """Return each recipe's newest finished run (the newest of all if none finished), if it used one of the artifacts."""
    newest: dict[str, RunRecord] = {}
    for run in journal.records():
        known = newest.setdefault(run.recipe, run)
        if known.status != "finished" and run.status == "finished":
            newest[run.recipe] = run
    return [run for run in newest.values() if _locations(run) & locations]


def _locations(run: RunRecord) -> set[str]:
    return {position.location for position in run.positions.values()}


def _again(store: Store, run: RunRecord) -> str:
    from flows.cli.run import execute_recipe

    started = now()
    try:
        recipe = validate({**run.configuration, "store": store.url}, f"the configuration of run {run.id}")
        artifacts, seconds = execute_recipe(recipe, RunOptions())
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        return f"could not be run again as run {run.id} was: {error}"
    made = sorted({artifact.location for artifact in artifacts.values() if artifact.origin.created > started})
    what = f"made {', '.join(made) or 'nothing'}, reused {len(artifacts) - len(made)}"
    return f"ran again as run {run.id} was, in {format_duration(seconds)}; {what}"


def _still_wrong(store: Store, damaged: Damaged, wanted: bool) -> str:
    """Return why a damaged artifact is not healed; "" if it is, or if it is quarantined and nobody needs it."""
    found = store.index.read(damaged.location)
    if isinstance(found, Artifact):
        return "; ".join(store.check(found, digests=True))
    if not wanted:
        log(f"{damaged.location}: no recipe's newest run used it, so it is not made again")
        return ""
    return "the recipe that used it would now make something else; see what with `folio plan` and its recipe"


@contextmanager
def _log_lines_shown(as_json: bool) -> Iterator[None]:
    """Print log lines during the block, on standard error if standard output is JSON."""
    logging.getLogger("folio").setLevel(logging.INFO)
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        show_on_terminal()
        yield
