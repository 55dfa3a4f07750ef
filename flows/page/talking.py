"""Talking: a conversation with one released model, or with two whose names are hidden, and each reply judged as it comes.

A reply is streamed while the model's own process writes it. Which of two stands first is drawn anew for each question, by a seed that the
judgement keeps. Both are asked the same conversation, which goes on with the better answer, so what is judged is what both were asked. A
judgement is a line of the home's journal. The conversation itself is held in memory and ends with the page.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from data.judgements.journal import Answer, append, parse_line
from flows.page.judging import Shown, drawn_second, line_of
from flows.page.model_processes import LIMITS, SERVED, ModelProcesses, ModelUnavailable
from flows.page.models import Release, released
from flows.page.rendering import Form, Page, Sent, page_of
from flows.services.home import JUDGEMENTS
from model.serving.process import ChildError
from tasks.lineage.graph import ProvenanceGraph, release_objection
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.verdicts import approvals

router = APIRouter(prefix="/talk")
SCRIPT = Path(__file__).with_name("talking.js")
MOST_TALKS, MOST_TURNS, MOST_QUESTION, OFFERED = 50, 200, 20_000, 50
Message = dict[str, str]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speaker:
    """A model that is talked to. `name`, `digest`: of the artifact that was exported, as judgements of recorded answers name it, too."""

    release: str
    folder: Path
    name: str
    digest: str


@dataclass
class Turn:
    """A question and its replies in the order in which they are shown. `chosen`: the one that the conversation goes on with."""

    asked: list[Message]
    answers: tuple[Answer, ...]
    notes: tuple[str, ...]
    chosen: int = 0
    judged: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether both replies are the same text, so that neither can be better."""
        return len(self.answers) == 2 and self.answers[0].text == self.answers[1].text


@dataclass
class Talk:
    """A conversation. `told`: what its replies that are being written say, None while none is; `longest`:
    reply, in tokens."""

    judge: str
    speakers: tuple[Speaker, ...]
    temperature: float
    longest: int
    seed: int = field(default_factory=lambda: secrets.randbelow(1 << 31))
    turns: list[Turn] = field(default_factory=list)
    told: asyncio.Queue[dict[str, Any] | None] | None = None
    ended: bool = False

    def asking(self, question: str) -> list[Message]:
        """Return the conversation with one more question."""
        said = list[Message]()
        if self.turns:
            last = self.turns[-1]
            said = [*last.asked, {"role": "assistant", "content": last.answers[last.chosen].text}]
        return [*said, {"role": "user", "content": question}]


@dataclass
class Talks:
    """The conversations of a page, by what their addresses name; the one that has been quiet the longest is forgotten first."""

    processes: ModelProcesses = field(default_factory=ModelProcesses)
    _by_id: OrderedDict[str, Talk] = field(default_factory=OrderedDict)

    def add(self, talk: Talk) -> str:
        """Keep a conversation; return its name."""
        name = secrets.token_urlsafe(16)
        self._by_id[name] = talk
        while len(self._by_id) > MOST_TALKS:
            self._by_id.popitem(last=False)
        return name

    def find(self, name: str, visitor: str) -> Talk:
        """Return a visitor's conversation. Raise LookupError if there is none of this name."""
        talk = self._by_id.get(name)
        if talk is None or (visitor and talk.judge != visitor):
            raise LookupError("This conversation has ended: the page was started anew, or others came after it. Begin another at /talk.")
        self._by_id.move_to_end(name)
        return talk


@router.get("")
def offered(request: Request) -> Response:
    """Show whom one can talk to."""
    page = page_of(request)
    entries = islice(released(page), OFFERED)
    releases = [Release(made, entry) for entry in entries if isinstance(made := page.store.index.read(entry.export), Artifact)]
    return page.show("talks.html.jinja", releases=releases, first=page.asked("first"), longest=LIMITS.max_tokens)


@router.get("/talking.js")
def scripted() -> Response:
    """Return the script that shows replies as they are written."""
    return Response(_script(), media_type="text/javascript", headers={"Cache-Control": "no-cache"})


@cache
def _script() -> str:
    return SCRIPT.read_text(encoding="utf-8")


@router.post("/begin")
def begin(request: Request, form: Sent) -> Response:
    """Begin a conversation with one model, or two that differ."""
    page = page_of(request)
    judge = page.name_of(form, "judge")
    if not judge.isprintable():
        raise ValueError("judge has a character that can't be shown, such as a line end; leave it out.")
    names = [form.text("first", 300), *filter(None, [form.get("second", "")])]
    if len(set(names)) < len(names):
        raise ValueError("Both are the same model; choose two, or one alone.")
    temperature, longest = _number(form, "temperature", 0, 2), int(_number(form, "longest", 1, LIMITS.max_tokens))
    talk = Talk(judge, tuple(_speaker(page, name) for name in sorted(names)), temperature, longest)
    return RedirectResponse(f"/talk/{_talks(request).add(talk)}", 303)


@router.get("/{name}")
def shown(request: Request, name: str) -> Response:
    """Show a conversation so far."""
    page = page_of(request)
    talk = _talks(request).find(name, page.visitor)
    return page.show("talk.html.jinja", talk=talk, name=name, blinded=len(talk.speakers) == 2, most=MOST_QUESTION)


@router.post("/{name}/ask")
async def ask(request: Request, name: str, form: Sent) -> Response:
    """Ask the next question; the answer is lines of JSON as the replies are written."""
    page = page_of(request)
    talk = _talks(request).find(name, page.visitor)
    question = form.text("question", MOST_QUESTION)
    if talk.ended or len(talk.turns) >= MOST_TURNS:
        raise ValueError("This conversation has ended; begin another at /talk.")
    return StreamingResponse(_written(_talks(request).processes, talk, question), media_type="application/x-ndjson")


@router.post("/{name}/stop")
async def stop(request: Request, name: str) -> Response:
    """End the replies that are being written as they are."""
    page = page_of(request)
    talk = _talks(request).find(name, page.visitor)
    if talk.told is not None:
        talk.told.put_nowait(None)
    return Response(status_code=204)


@router.post("/{name}/judge")
def judge(request: Request, name: str, form: Sent) -> Response:
    """Keep a judgement of the newest replies."""
    page = page_of(request)
    talk = _talks(request).find(name, page.visitor)
    at, verdict = form.text("at", 9), form.text("verdict", 20)
    if talk.ended or not at.isdecimal() or int(at) != len(talk.turns) - 1:
        raise ValueError("Only the newest answers are judged; open the conversation again.")
    turn = talk.turns[-1]
    if verdict != "skip":
        line = parse_line(line_of(verdict, form, talk.judge, talk.seed, Shown(0, 1, turn.asked, turn.answers)))
        append(page.site.home / JUDGEMENTS, line)
        turn.judged.append({"A": "A is better", "B": "B is better", "tie": "neither is better"}.get(verdict, verdict.replace(":", " ")))
        turn.chosen = 1 if verdict == "B" else 0 if verdict in ("A", "tie") else turn.chosen
    return RedirectResponse(f"/talk/{name}#question", 303)


@router.post("/{name}/end")
def end(request: Request, name: str) -> Response:
    """End a conversation, which shows whose each answer was."""
    page = page_of(request)
    _talks(request).find(name, page.visitor).ended = True
    return RedirectResponse(f"/talk/{name}", 303)


def _talks(request: Request) -> Talks:
    found: Talks = request.app.state.talks
    return found


def _number(form: Form, name: str, least: int, most: int) -> float:
    """Return a number of the form. Raise ValueError for other text, or one out of bounds."""
    try:
        found = float(form.text(name, 20))
    except ValueError:
        found = math.nan
    if not least <= found <= most:
        raise ValueError(f"{name}={form.get(name, '')!r} must be a number from {least} to {most}.")
    return found


def _speaker(page: Page, name: str) -> Speaker:
    """Return a model to talk to. Raise LookupError for one that isn't released."""
    release = Release.of(page, name)
    made = release.artifact
    record = page.runs.record(release.run.id)
    known = page.store.index.records(dict.fromkeys(position.location for position in record.positions.values()))
    answers = {approval.subject: approval for approval in approvals(page.store)}
    graph = ProvenanceGraph({one.address: one for one in (*known, made)}, {}, answers)
    if objection := release_objection(graph, made):
        raise LookupError(f"{made.location} can't be talked to here: {objection}.")
    model = made.inputs.get("model")
    source = made if model is None else model
    return Speaker(name, page.store.local(made), source.location.partition("/")[2], source.digest)


async def _written(processes: ModelProcesses, talk: Talk, question: str) -> AsyncIterator[bytes]:
    """Yield lines of JSON: parts of the replies as they are written, faults, and at the end whether the turn stands."""
    if talk.told is not None:
        yield _json(error="A reply is still being written; wait for its end, or stop it.")
        return
    told = talk.told = asyncio.Queue[dict[str, Any] | None]()
    asked = talk.asking(question)
    second = len(talk.speakers) == 2 and drawn_second(talk.seed, json.dumps(asked))
    speakers = talk.speakers[::-1] if second else talk.speakers
    texts, notes = [""] * len(speakers), [""] * len(speakers)
    faults = list[str]()

    async def write(place: int) -> None:
        try:
            async for part in _reply(processes, speakers[place].folder, asked, talk):
                texts[place] += part.get("text", "")
                notes[place] = part.get("note", "")
                told.put_nowait({"of": place, **part})
        except (ChildError, ModelUnavailable, ReplyError, httpx.HTTPError) as error:
            log.warning("a reply failed: %s", error)
            faults.append(str(error) if isinstance(error, ModelUnavailable | ReplyError) else _lost(error))
        finally:
            told.put_nowait({"ended": place})

    writers, left = [asyncio.create_task(write(place)) for place in range(len(speakers))], len(speakers)
    try:
        yield _json(waiting=left)
        while left and (part := await told.get()) is not None:
            left -= "ended" in part
            if "ended" not in part:
                yield _json(**part)
    finally:
        # Also where the visitor has left. What had begun stays, as it was shown.
        whole = [writer.done() and not writer.cancelled() and writer.exception() is None for writer in writers]
        for writer in writers:
            writer.cancel()
        talk.told = None
        stands = not faults and any(texts) and all(text or done for text, done in zip(texts, whole, strict=True))
        if stands:
            answers = [Answer(text=text, model=one.name, digest=one.digest) for text, one in zip(texts, speakers, strict=True)]
            said = tuple(note if done else "stopped" for note, done in zip(notes, whole, strict=True))
            talk.turns.append(Turn(asked, tuple(answers), said))
    if stands:
        yield _json(turn=len(talk.turns))
    else:
        why = " ".join(f"{fault[:1].upper()}{fault[1:]}." for fault in dict.fromkeys(faults))
        why += " Begin another conversation, which starts anew." if why and talk.turns else ""
        yield _json(error=why or "There is no answer: it was empty, or it was stopped before its first word.")


def _lost(error: Exception) -> str:
    what = "did not start" if isinstance(error, ChildError) else "broke off"
    return f"a model's process {what}; the log of the page says why, and `folio doctor` what this machine lacks"


class ReplyError(RuntimeError):
    """A model's process refuses to answer, and why."""


async def _reply(processes: ModelProcesses, folder: Path, messages: list[Message], talk: Talk) -> AsyncIterator[dict[str, str]]:
    """Yield parts of a reply. Raise ReplyError, or as `acquire` does."""
    body: dict[str, Any] = {"model": SERVED, "messages": messages, "stream": True}
    body |= {"temperature": talk.temperature, "max_tokens": talk.longest}
    acquiring = asyncio.get_running_loop().run_in_executor(None, processes.acquire, folder)
    try:
        child = await asyncio.shield(acquiring)
    except asyncio.CancelledError:
        # The thread goes on starting the process, which nobody then uses.
        acquiring.add_done_callback(lambda done: None if done.cancelled() or done.exception() else processes.release(folder))
        raise
    try:
        # Settings of the environment, such as a proxy, have no say on the way to this machine's own process.
        async with (
            httpx.AsyncClient(base_url=child.url, timeout=None, trust_env=False) as client,
            client.stream("POST", "/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {child.key}"}) as answer,
        ):
            if answer.status_code != 200:
                raise ReplyError(json.loads(await answer.aread())["error"]["message"])
            async for line in answer.aiter_lines():
                data = line.removeprefix("data: ") if line.startswith("data: {") else ""
                told = json.loads(data) if data else {}
                if "error" in told:
                    raise ReplyError(told["error"]["message"])
                for choice in told.get("choices", ()):
                    if text := choice["delta"].get("content"):
                        yield {"text": text}
                    if choice.get("finish_reason") == "length":
                        yield {"note": "cut off at its longest"}
    finally:
        processes.release(folder)


def _json(**told: Any) -> bytes:
    return json.dumps(told).encode() + b"\n"
