"""Judging: two answers without their models' names, or one; what people said of them so far, and how models rate by it.

Answers are those that evaluation recorded of each model to the recipe's questions, so nothing is computed here. Which of two stands first
is drawn by a seed that the judgement keeps. Address and form name both models in the order of their names, so neither says whose an answer
is. A judgement is a line of the home's journal before the next question is shown.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from data.judgements.config import journal_files
from data.judgements.examples import FATES, agreement, counts, decide, judges_of, rated
from data.judgements.journal import Answer, Journal, Label, Preference, append, now, parse_line, read_journal
from flows.page.artifacts import artifact_at
from flows.page.rendering import Form, Page, Sent, page_of
from flows.services.home import JUDGEMENTS
from tasks.stage.store.artifact import Artifact

router = APIRouter(prefix="/judging")
SETS = {"seen": "what training taught; tuning learns from it", "heldout": "held out: it measures, and tuning leaves such examples out"}
SCRIPT = Path(__file__).with_name("judging.js")
MOST_TEXT = 20_000
SESSION = ("judge", "first", "second", "set", "seed")  # what the address of every question names


@dataclass(frozen=True)
class Answers:
    """A model's recorded answers. `replies`: by the question, as JSON text of its messages."""

    name: str
    model: str
    digest: str
    replies: Mapping[str, str]


@dataclass(frozen=True)
class Shown:
    """A question that is shown. `number`: where it stands in the session's order; `answers`: in the order in which they are shown."""

    number: int
    of: int
    asked: list[dict[str, str]]
    answers: tuple[Answer, ...]


@router.get("")
def standing(request: Request) -> Response:
    """Show what was judged so far, and where to begin."""
    page = page_of(request)
    journal = _journal(page)
    outcome = decide(journal)
    return page.show(
        "judging.html.jinja",
        models=list(_judgeable(page)),
        sets=SETS,
        figures=counts(journal, outcome),
        fates=(*FATES, "set_aside"),
        judges=judges_of(outcome),
        agreement=agreement(outcome),
        ratings=rated(outcome),
        folder=page.site.home / JUDGEMENTS,
    )


@router.get("/keys.js")
def keys() -> Response:
    """Return the script by which keys press the buttons."""
    return Response(_script(), media_type="text/javascript", headers={"Cache-Control": "no-cache"})


@cache
def _script() -> str:
    return SCRIPT.read_text(encoding="utf-8")


@router.post("/begin")
def begin(request: Request, form: Sent) -> Response:
    """Begin to judge one model, or two that differ, by a seed that is drawn now."""
    page = page_of(request)
    session = {
        "judge": page.name_of(form, "judge"),
        "first": form.text("first", 300),
        "second": form.get("second", ""),
        "set": form.text("set", 40),
    }
    # In order of name, so that the address doesn't say which was chosen first.
    names = sorted({session["first"], session["second"]} - {""})
    session |= {"first": names[0], "second": names[1] if len(names) > 1 else "", "seed": str(secrets.randbelow(1 << 31))}
    _models(page, session)
    return RedirectResponse(f"/judging/next?{urlencode(session)}", 303)


@router.get("/next")
def question(request: Request) -> Response:
    """Show the next question that this judge has not judged, from a place in the session's order."""
    page = page_of(request)
    session = {name: page.asked(name) for name in SESSION}
    session["judge"] = page.visitor or session["judge"]
    start = page.asked("at")
    shown = _next(_models(page, session), session, _journal(page), int(start) if start.isdecimal() and len(start) < 9 else 0)
    kept = page.asked("kept")
    known = kept if re.fullmatch("[0-9a-f]{16}", kept) else ""  # anybody may write an address
    return page.show("judge.html.jinja", shown=shown, session=session, kept=known, blinded=bool(session["second"]))


@router.post("/judge")
def judge(request: Request, form: Sent) -> Response:
    """Keep a judgement, then show the same question again, or the next one after a preference."""
    page = page_of(request)
    session = {name: form.get(name, "") for name in SESSION}
    session["judge"] = page.visitor or session["judge"]
    at = form.text("at", 9)
    shown = _shown(_models(page, session), session, int(at) if at.isdecimal() else -1)
    verdict = form.text("verdict", 20)
    onward, kept = int(at), ""
    if verdict == "skip":
        onward += 1
    else:
        line = line_of(verdict, form, session["judge"], int(session["seed"]), shown)
        kept = append(page.site.home / JUDGEMENTS, parse_line(line))
        onward += verdict in ("A", "B", "tie") or (not session["second"] and verdict.endswith((":good", ":bad")))
    return RedirectResponse(f"/judging/next?{urlencode({**session, 'at': onward, 'kept': kept})}#question", 303)


def line_of(verdict: str, form: Form, judge: str, seed: int, shown: Shown) -> dict[str, Any]:
    """Return the line that a button of the form means. Raise ValueError for a button that it does not have."""
    line: dict[str, Any] = {"judge": judge, "time": now(), "prompt": shown.asked, "reason": form.get("reason", "").strip()}
    which, _, what = verdict.partition(":")
    answers = [answer.model_dump() for answer in shown.answers]
    if verdict in ("A", "B", "tie") and len(answers) == 2:
        return line | {"kind": "preference", "answers": answers, "preferred": verdict, "seed": seed}
    if verdict == "ideal":
        # With two answers it is not said which one the ideal answer replaces.
        return line | {"kind": "ideal", "answers": answers if len(answers) == 1 else [], "ideal": form.text("ideal", MOST_TEXT)}
    if which not in ("A", "B")[: len(answers)]:
        raise ValueError(f"verdict={verdict!r} is none of the buttons; open the question again and press one.")
    one = [answers["AB".index(which)]]
    if what in ("good", "bad"):
        return line | {"kind": "label", "answers": one, "good": what == "good"}
    if what == "wrong":
        words = {"wrong": form.text(f"wrong_{which}", MOST_TEXT), "right": form.text(f"right_{which}", MOST_TEXT)}
        return line | {"kind": "correction", "answers": one, **words}
    raise ValueError(f"verdict={verdict!r} is none of the buttons; open the question again and press one.")


def _journal(page: Page) -> Journal:
    folder = page.site.home / JUDGEMENTS
    return read_journal(folder) if journal_files(folder) else Journal((), ())


def _judgeable(page: Page) -> Iterator[Artifact]:
    """Yield the newest measurement of each model whose answers are recorded, newest first."""
    found = sorted(page.store.index.records(page.store.index.locations("evaluate")), key=lambda made: made.origin.created, reverse=True)
    seen: set[str] = set()
    for made in found:
        model = made.inputs.get("model")
        if model and model.digest not in seen and any(_file(name) in {file.path for file in made.files} for name in SETS):
            seen.add(model.digest)
            yield made


def _file(name: str) -> str:
    return f"answers_{name}.jsonl"


def _models(page: Page, session: Mapping[str, str]) -> list[Answers]:
    """Return the answers of the models of a session. Raise ValueError or LookupError for what can't be judged."""
    if session["set"] not in SETS:
        raise ValueError(f"set={session['set']!r} is none of {', '.join(SETS)}.")
    if not session["judge"] or not session["seed"].isdecimal():
        raise ValueError("judge and seed are missing; begin at /judging.")
    return [_answers(page, name, session["set"]) for name in (session["first"], session["second"]) if name]


def _answers(page: Page, name: str, which: str) -> Answers:
    made = artifact_at(page, "evaluate", name)
    model = made.inputs.get("model")
    if model is None or _file(which) not in {file.path for file in made.files}:
        raise LookupError(f"{made.location} has no recorded answers to the set {which!r}; choose another model or set.")
    with page.store.fs.open(f"{page.store.root}/{made.files_at}/{_file(which)}", "rb") as stream:
        rows = [json.loads(line) for line in stream.read().decode("utf-8").split("\n") if line]
    replies = {_asked(row): row["reply"] for row in rows if row["question"].strip()}
    return Answers(name, model.location.partition("/")[2], model.digest, replies)


def _asked(row: Mapping[str, Any]) -> str:
    """Return what a model was asked, as JSON text of messages."""
    before = [{"role": message["role"], "content": message["content"]} for message in row.get("before", ())]
    return json.dumps([*before, {"role": "user", "content": row["question"]}])


def _order(models: list[Answers], session: Mapping[str, str]) -> list[str]:
    """Return the questions that can be judged, in the session's order: those that all answered, and two not in the same words."""
    first, *others = models
    asked = [one for one in first.replies if all(one in other.replies and other.replies[one] != first.replies[one] for other in others)]
    return sorted(asked, key=lambda one: hashlib.sha256(f"{session['seed']}:{one}".encode()).digest())


def _next(models: list[Answers], session: Mapping[str, str], journal: Journal, start: int) -> Shown | None:
    """Return the first question from `start` on that the judge has no voice on yet; None if none is left."""
    decides, shown = Preference if len(models) == 2 else Label, {model.digest or model.model for model in models}
    done = {
        json.dumps([message.model_dump() for message in entry.line.prompt])
        for entry in journal.entries
        if isinstance(entry.line, decides) and entry.line.judge == session["judge"] and {one.by for one in entry.line.answers} == shown
    }
    order = _order(models, session)
    at = next((number for number in range(start, len(order)) if order[number] not in done), None)
    return None if at is None else _shown(models, session, at)


def _shown(models: list[Answers], session: Mapping[str, str], at: int) -> Shown:
    order = _order(models, session)
    if not 0 <= at < len(order):
        raise LookupError(f"There is no question {at} of {len(order)}; begin again at /judging.")
    asked = order[at]
    answers = tuple(Answer(text=model.replies[asked], model=model.model, digest=model.digest) for model in models)
    drawn = len(answers) == 2 and drawn_second(int(session["seed"]), asked)
    return Shown(at, len(order), json.loads(asked), answers[::-1] if drawn else answers)


def drawn_second(seed: int, asked: str) -> bool:
    """Draw whether the second model's answer to a question, as JSON text of its messages, is shown first."""
    return hashlib.sha256(f"{seed}:first:{asked}".encode()).digest()[0] % 2 == 1
