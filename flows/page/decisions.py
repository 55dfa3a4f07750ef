"""Decisions: what a run of a recipe would do, in the words of `folio plan`, and the gates that wait for a person.

A plan compares with today's source, which this process may have loaded long ago, so the command itself makes it, in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from flows.page.records import RunEntry
from flows.page.rendering import Page, Sent, page_of
from flows.recipe.loading import built_in
from tasks.stage.execution.approving import record_answer
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import StoreError
from tasks.stage.store.verdicts import Approval, find_approval, subject_of
from tasks.stage.system.command_line import folio
from tasks.stage.system.interrupts import without_run

router = APIRouter()
PLAN_SECONDS = 300
MOST_CHANGES = 40
_planning = threading.Lock()  # one at a time: a plan takes a processor for seconds


class Asked(NamedTuple):
    """A verdict about which a recipe asks a person. `rows`: its table; `answer`: the newest answer, None if it waits for one."""

    run: RunEntry
    position: str
    verdict: Artifact
    subject: str
    rows: list[dict[str, str]]
    answer: Approval | None


@router.get("/plan")
def choose(request: Request) -> Response:
    """Offer the recipes that can be planned."""
    page = page_of(request)
    return page.show("plan.html.jinja", recipes=_recipes(page), chosen=page.asked("recipe"), changes="", planned="", wrong="")


@router.post("/plan")
def plan(request: Request, form: Sent) -> Response:
    """Show what a run of a recipe would do, stage by stage, and why."""
    page = page_of(request)
    chosen, known = form.text("recipe"), _recipes(page)
    # Words of a visitor never reach a command but as one of the recipes that are known.
    if chosen not in known:
        raise LookupError(f"No recipe {chosen!r} comes with folio or ran in this store; those that did are offered.")
    changes = [line.strip() for line in form.get("changes", "").splitlines() if line.strip()]
    if len(changes) > MOST_CHANGES:
        raise ValueError(f"{len(changes)} keys are changed; at most {MOST_CHANGES} are taken here. Write a recipe file of your own.")
    with _planning:
        done = subprocess.run(
            # A change that begins with a dash is a change all the same, and no option.
            [sys.executable, "-m", "flows.cli.app", "plan", chosen, *(f"--set={change}" for change in changes)],
            capture_output=True,
            text=True,
            env={**without_run(os.environ), "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            timeout=PLAN_SECONDS,
            check=False,
        )
    return page.show(
        "plan.html.jinja",
        recipes=known,
        chosen=chosen,
        changes="\n".join(changes),
        planned=done.stdout,
        wrong=done.stderr.strip() if done.returncode else "",
    )


@router.get("/decisions")
def decisions(request: Request) -> Response:
    """Show the gates that ask a person: those that wait for an answer first."""
    page = page_of(request)
    found, damaged = _asked(page)
    asked = sorted(found, key=lambda one: one.answer is not None)
    commands = {one.verdict.location: folio("run", one.run.argument) for one in asked}
    return page.show("decisions.html.jinja", asked=asked, damaged=damaged, commands=commands)


@router.post("/decisions")
def answer(request: Request, form: Sent) -> Response:
    """Record a person's answer about the verdict that was shown."""
    page = page_of(request)
    subject, approved = form.text("subject"), form.text("approved")
    one = next((one for one in _asked(page)[0] if one.subject == subject), None)
    if one is None:
        raise LookupError("The verdict that was shown is not the newest any more; look at the decisions again.")
    if approved not in ("yes", "no"):
        raise ValueError(f"approved={approved!r} is neither yes nor no.")
    who, reason = page.name_of(form, "who"), form.text("reason")
    record_answer(page.store, one.run.recipe, one.position, one.verdict, approved=approved == "yes", who=who, reason=reason)
    return RedirectResponse("/decisions", 303)


def _recipes(page: Page) -> list[str]:
    """Return what names each recipe that comes with folio or ran here, in a command."""
    ran = dict.fromkeys(entry.argument for entry in page.runs.newest())
    return list(dict.fromkeys([*(argument for argument in ran if not argument.startswith("-")), *built_in()]))


def _asked(page: Page) -> tuple[list[Asked], list[str]]:
    """Return the verdicts of each recipe's newest run that passed and need a person; and why others can't be read."""
    found, damaged, seen = list[Asked](), list[str](), set[str]()
    for entry in page.runs.newest():
        if entry.recipe in seen:
            continue
        seen.add(entry.recipe)
        for position in (position for position in entry.gates if position in entry.approve):
            verdict = page.store.index.read(entry.gates[position].location)
            if isinstance(verdict, Artifact) and verdict.metrics.get("passed"):
                try:
                    # Only a file that is as its record says it was written.
                    rows = json.loads(page.store.read(verdict, "verdict.json"))["rows"]
                except (StoreError, OSError) as error:
                    damaged.append(f"{position} of {entry.recipe}: {error}")
                    continue
                found.append(Asked(entry, position, verdict, subject_of(verdict), rows, find_approval(page.store, verdict)))
    return found, damaged
