"""Replies that follow a grammar: a JSON value of a schema, a regular expression or a Lark grammar, by llguidance.

Before each token the grammar says which tokens are allowed; stop tokens are where the text is complete. A reply that reaches its limit
first is incomplete. Grammars are compiled and followed in processes of their own, which may die (`grammar_worker`): the request whose
grammar ends one fails, and no other. llguidance comes with `pip install -e '.[grammar]'`.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from model.inference.grammar_worker import FAULT, MASK, STEP

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from model.inference.chat_format import ChatFormat

GrammarKind = Literal["json_schema", "regex", "lark"]
ANY_OBJECT: dict[str, Any] = {"type": "object"}
WORKER = "model.inference.grammar_worker"
SOURCE_BYTES = 256 * 1024
START_WAIT = 60.0
"""Reading a vocabulary of 150,000 tokens takes two seconds on an idle machine."""
COMPILE_WAIT = 40.0
"""Longest wait for a compilation, which has 10 seconds of processor time and gives way to other work."""
FIRST_WAIT = 20.0
"""Longest wait for a reply's first mask, by the request's own thread, before the reply has a row."""
STEP_WAIT = 2.0
"""Longest wait for any other mask, which is computed while the network computes the same token's logits. All rows wait with it."""
PATIENCE, PROMPT = 10.0, 0.05
"""Seconds that the masks of one request may make other rows wait in all; a mask within `PROMPT` seconds doesn't count."""
AT_ONCE = 2
"""Grammars compiled at once, so that many large ones leave processors to replies."""


ENDED = "following it took too much time or memory, or ended its process"


class GrammarError(ValueError):
    """A grammar can't be read or is too large, or llguidance is not installed."""


class GrammarCompiler:
    """Makes grammars over the tokens of one model. The first costs a look at each token of the vocabulary. Safe to share among threads."""

    def __init__(self, chat_format: ChatFormat, vocab_size: int) -> None:
        if find_spec("llguidance") is None:
            raise GrammarError("a grammar or JSON schema needs llguidance; install it with: pip install -e '.[grammar]'")
        self._stops, self._vocab_size = sorted(chat_format.stop_ids), vocab_size
        self._tokenizer = chat_format.tokenizer.to_str()
        self._lock, self._at_once = threading.Lock(), threading.Semaphore(AT_ONCE)
        self._control: socket.socket | None = None

    def grammar(self, kind: GrammarKind, source: str | dict[str, Any]) -> Grammar:
        """Return a grammar at its beginning, for one reply. Raise GrammarError if it can't be read."""
        return self.grammars(kind, source, 1)[0]

    def grammars(self, kind: GrammarKind, source: str | dict[str, Any], count: int) -> list[Grammar]:
        """Return a grammar for each of the replies to one request. Raise GrammarError if it can't be read."""
        text = source if isinstance(source, str) else json.dumps(source)
        if len(text) > SOURCE_BYTES:
            raise GrammarError(f"{kind}: {len(text):,} characters are more than the {SOURCE_BYTES:,} that are compiled; make it smaller")
        with self._at_once:
            process = self._forked()
            with suppress(OSError):  # it may have died; the answer says so
                process.send_bytes(json.dumps({"kind": kind, "source": text, "count": count}).encode())
            answer = _received(process, COMPILE_WAIT)
        if answer is None:
            raise GrammarError(
                f"{kind}: compiling it took too much time or memory, or ended the compiler, as long chains of references and deep nesting "
                "do; make it smaller"
            )
        if fault := json.loads(answer)["error"]:
            raise GrammarError(f"{kind}: {fault}")
        steps = _Steps(process)
        made = [Grammar(steps, number, self._stops, self._vocab_size) for number in range(count)]
        for one in made:
            one.begin()
        return made

    def close(self) -> None:
        """End the worker. Grammars that were made stay."""
        with self._lock:
            if self._control is not None:
                self._control.close()
                self._control = None

    def _forked(self) -> Connection:
        """Return the connection to a new process of the worker; a worker that died is started again, once."""
        with self._lock:
            for last in (False, True):
                ours, theirs = socket.socketpair()
                with theirs:
                    try:
                        self._control = self._control or self._started()
                        socket.send_fds(self._control, [b"f"], [theirs.fileno()])
                        return Connection(ours.detach())
                    except OSError:
                        ours.close()
                        self._control = None
                        if last:
                            raise
        raise AssertionError("unreachable")

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            subprocess.Popen([sys.executable, "-m", WORKER, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        ours.settimeout(START_WAIT)
        told = {"tokenizer": self._tokenizer, "vocab_size": self._vocab_size, "stops": self._stops}
        try:
            ours.sendall(json.dumps(told).encode() + b"\n")
            ready = ours.recv(1)
        except OSError:
            ready = b""
        if not ready:
            ours.close()
            raise GrammarError(f"the grammar compiler did not start within {START_WAIT:g} seconds; its error is in the server's log")
        ours.settimeout(None)
        return ours

    def __del__(self) -> None:
        self.close()


class _Steps:
    """The process of one request's grammars. Answers come in the order of the steps; one for another reply is put by."""

    def __init__(self, process: Connection) -> None:
        self._process, self._answers, self.fault = process, dict[int, bytes](), ""
        self._patience = PATIENCE

    def send(self, number: int, token: int) -> None:
        """Begin a step; its mask is computed while the network goes on."""
        if not self.fault:
            try:
                self._process.send_bytes(STEP.pack(number, token))
            except OSError:
                self.fault = ENDED

    def answer(self, number: int, *, first: bool = False) -> bytes:
        """Return the answer to a reply's last step; empty if the process died or took too long, which `fault` says."""
        while number not in self._answers and not self.fault:
            began = time.monotonic()
            answer = _received(self._process, FIRST_WAIT if first else min(STEP_WAIT, self._patience))
            if not first:
                self._patience = max(0.0, self._patience - max(0.0, time.monotonic() - began - PROMPT))
            if answer is None:
                self.fault = ENDED
                self._process.close()
            else:
                self._answers[STEP.unpack(answer[: STEP.size])[0]] = answer[STEP.size :]
        return self._answers.pop(number, b"")


class Grammar:
    """The state of one reply in its grammar. A `Constraint`.

    fault: why the grammar could not be followed on, such as one too complex; the reply then ends. Empty: it could.
    """

    def __init__(self, steps: _Steps, number: int, stops: list[int], vocab_size: int) -> None:
        self._steps, self._number, self._vocab_size, self.fault = steps, number, vocab_size, ""
        self._stop_V = torch.zeros(vocab_size, dtype=torch.bool)
        self._stop_V[stops] = True
        self._allowed_V: Tensor | None = None
        self._stopped = False
        steps.send(number, -1)

    def begin(self) -> None:
        """Wait for the first mask, which takes longest: nobody else waits yet."""
        self._allowed_V = self._read(self._steps.answer(self._number, first=True))

    def allowed(self) -> Tensor:
        """Return allowed_V, bool."""
        if self._allowed_V is None:
            self._allowed_V = self._read(self._steps.answer(self._number))
        return self._allowed_V

    def _read(self, answer: bytes) -> Tensor:
        self._stopped = not answer.startswith(MASK)
        if not answer or answer.startswith(FAULT):
            self.fault = answer[1:].decode() or self._steps.fault
        if self._stopped:
            return self._stop_V
        bits = np.unpackbits(np.frombuffer(answer, dtype=np.uint8, offset=1), bitorder="little", count=self._vocab_size)
        allowed_V = torch.from_numpy(bits).bool()
        return allowed_V if bool(allowed_V.any()) else self._stop_V

    def accept(self, token: int) -> None:
        """Note the token that was written."""
        self.allowed()  # a step begins once the one before is answered
        if not self._stopped:
            self._allowed_V = None
            self._steps.send(self._number, token)


def _received(process: Connection, seconds: float) -> bytes | None:
    """Return the next message of a process; None if it died or did not answer in time."""
    try:
        return process.recv_bytes() if process.poll(seconds) else None
    except (EOFError, OSError):
        return None


SPACE = "\u2581"
"""The character that SentencePiece's tokens have for a space."""


class TokenBytes:
    """Looks tokens up in one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        from tokenizers import decoders

        self._tokenizer = tokenizer
        self._byte_level = isinstance(tokenizer.decoder, decoders.ByteLevel)
        self._special = set(tokenizer.get_added_tokens_decoder())
        # A decoder drops the space at the beginning of a text, which every token is that is decoded alone.
        self._spaced = tokenizer.decode([space]) == "" if (space := tokenizer.token_to_id(SPACE)) is not None else False

    def of(self, token: int) -> bytes:
        """Return the bytes of a token; for a special token, of its name."""
        name = self._tokenizer.id_to_token(token) or ""
        if token in self._special:
            return name.encode()
        if self._byte_level:
            known = byte_characters()
            return bytes(known[character] for character in name if character in known)
        if len(name) == 6 and name.startswith("<0x"):
            return bytes([int(name[3:5], 16)])
        return (name.replace(SPACE, " ") if self._spaced else str(self._tokenizer.decode([token]))).encode()


@lru_cache(maxsize=1)
def byte_characters() -> dict[str, int]:
    """Return the byte for each character of a byte-level token, in GPT-2's mapping, which keeps printable bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [value for value in range(256) if value not in printable]
    return {chr(value): value for value in printable} | {chr(256 + number): value for number, value in enumerate(others)}
