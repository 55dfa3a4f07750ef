"""Answer a file of prompts in order, one part at a time.

Each part is a separate batch, so its answers depend only on its own lines, and a rewritten part has the same bytes,
on the same machine with as many threads. A prompt that can't be answered gets a line that says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.inference.batch import Batch
from model.inference.beams import beam_search
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import request_for
from model.inference.grammar import GrammarCompiler
from model.inference.prompt_files import Ledger, LineError, Part, PromptLine, read_line, seed_of, settings_of
from model.inference.reply import ReplyText
from model.inference.request import Request
from model.inference.speculation import SpeculativeBatch

if TYPE_CHECKING:
    from model.networks.decoding import DecodingNetwork


@dataclass(frozen=True)
class Answering:
    """Settings of answering. beams: 1 for sampling. schema: the JSON schema that every answer follows. stop: strings that end one."""

    settings: SamplingConfig
    seed: int = 0
    batch: int = 32
    beams: int = 1
    stop: tuple[str, ...] = ()
    schema: str | None = None


class Answerer:
    """A model that answers files. `draft`: what proposes tokens; the network itself: its own heads.

    proposed, accepted: tokens of the draft so far.
    """

    def __init__(self, network: DecodingNetwork, chat_format: ChatFormat, asked: Answering, draft: DecodingNetwork | None = None) -> None:
        self.proposed = self.accepted = 0
        if draft is not None:
            SpeculativeBatch(network, draft)  # a draft that can't be one is refused before any work
        plain = asked.settings == SamplingConfig(max_new_tokens=asked.settings.max_new_tokens)
        if asked.beams > 1 and not (plain and draft is None and asked.schema is None and not asked.stop):
            raise ValueError(
                f"--beams {asked.beams} looks for the likeliest answer as a whole, so nothing is drawn or changed: give "
                "--max-new-tokens alone beside it"
            )
        self._network, self._format, self._asked, self._draft = network, chat_format, asked, draft
        compiler = None if asked.schema is None else GrammarCompiler(chat_format, network.vocab_size)
        self._grammar: Callable[[], Any] = lambda: None if compiler is None else compiler.grammar("json_schema", asked.schema or "")
        self._grammar()  # a schema that can't be read is refused before any work

    def answer(self, prompts: Path, ledger: Ledger) -> Iterator[Part]:
        """Answer the lines that the ledger does not vouch for; yield each part once it is on the disk."""
        done = ledger.parts[-1].last if ledger.parts else 0
        with prompts.open("rb") as stream:
            numbered = islice(enumerate(stream, start=1), done, None)
            while lines := list(islice(numbered, self._asked.batch)):
                answers = self._part(lines)
                content = b"".join(json.dumps(answer, ensure_ascii=False).encode() + b"\n" for answer in answers)
                refused = sum("refused" in answer for answer in answers)
                tokens = sum(answer.get("tokens", 0) for answer in answers)
                ledger.add(lines[0][0], lines[-1][0], content, written=len(answers) - refused, refused=refused, tokens=tokens)
                yield ledger.parts[-1]

    def _part(self, lines: Sequence[tuple[int, bytes]]) -> list[dict[str, Any]]:
        answers: dict[int, dict[str, Any]] = {}
        asked: dict[int, tuple[Request, ReplyText, list[str]]] = {}
        for number, text in lines:
            answers[number] = {"line": number}
            try:
                line = read_line(text)
                answers[number] |= {} if line.id is None else {"id": line.id}
                asked[number] = self._request(line, number)
            except ValueError as error:
                answers[number]["refused"] = str(error)
        if self._asked.beams > 1:
            for number, (request, _, _) in asked.items():
                answers[number] |= self._searched(request)
        else:
            self._write([request for request, _, _ in asked.values()])
            for number, (request, reply, pieces) in asked.items():
                answers[number] |= self._told(request, "".join([*pieces, reply.finish()]), stopped=reply.stopped)
        return [answers[number] for number, _ in lines]

    def _request(self, line: PromptLine, number: int) -> tuple[Request, ReplyText, list[str]]:
        config = settings_of(line, self._asked.settings)
        if self._asked.beams > 1 and line.settings.keys() - {"max_new_tokens"}:
            raise LineError("settings other than max_new_tokens have no part in a beam search; leave them out")
        if line.prompt is not None:
            prompt = text = self._format.encode_document(line.prompt)
        else:
            prompt, text = self._format.encode_chat([turn.model_dump() for turn in line.messages or ()]), []
        request = request_for(self._network, prompt, config, self._format.stop_ids, seed_of(line, self._asked.seed, number))
        reply, pieces = ReplyText(self._format.stream(text), self._asked.stop), list[str]()

        def written(token: int) -> bool:
            pieces.append(reply.push(token))
            return reply.stopped

        request.watch, request.constraint = written, self._grammar()
        return request, reply, pieces

    def _write(self, requests: list[Request]) -> None:
        if not requests:
            return
        batch = Batch(self._network) if self._draft is None else SpeculativeBatch(self._network, self._draft)
        # Prompts of nearly one length are read together.
        batch.join(sorted(requests, key=lambda request: len(request.prompt)))
        while batch.requests:
            batch.step()
        self.proposed += batch.proposed
        self.accepted += batch.accepted

    def _told(self, request: Request, text: str, *, stopped: bool) -> dict[str, Any]:
        if fault := str(getattr(request.constraint, "fault", "")):
            return {"refused": f"the schema could not be followed: {fault}"}
        reason = "stop" if request.ended or stopped else "length"
        drawn = {"seed": request.seed} if request.config.temperature else {}
        return {"text": text, "finish_reason": reason, "prompt_tokens": len(request.prompt), "tokens": len(request.tokens), **drawn}

    def _searched(self, request: Request) -> dict[str, Any]:
        found = beam_search(self._network, request, self._asked.beams)
        best = found[0]
        return {
            "text": self._format.decode(best.tokens),
            "finish_reason": "stop" if best.ended else "length",
            "prompt_tokens": len(request.prompt),
            "tokens": len(best.tokens),
            "score": best.score,
            "others": [{"text": self._format.decode(beam.tokens), "score": beam.score} for beam in found[1:]],
        }
