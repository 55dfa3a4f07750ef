"""Compile and follow grammars in processes that may die: python -m model.inference.grammar_worker FD

llguidance recurses on its own stack, so one schema with a long chain of references ends the process that compiles it. Here that is never
the server: this worker reads the tokenizer once and forks a process for each request, which holds the grammars of that request's replies
and ends with them. It imports neither torch nor tokenizers, so a fork is cheap and has no threads to lose.

The control socket FD brings the tokenizer, then one socket for each request. On a request's socket: a JSON object to compile, answered by
`{"error": ...}`; then for each step (number of the reply, token written or -1), answered by a mask of the next tokens.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import struct
import sys
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

STEP = struct.Struct("<Ii")  # number of the reply, token; the answer to a step begins with the same
MASK, STOPPED, FAULT = b"m", b"s", b"f"
COMPILE_SECONDS = 10
"""Processor time of a compilation. A schema of 100 kB takes under one second."""
STEP_SECONDS = 120
"""Processor time of all steps of a request's replies."""
MEMORY_BYTES = 1 << 30
NICENESS = 10
"""A compilation gives way to the thread that writes replies, so large grammars don't delay plain requests."""


def main(control_fd: int) -> None:
    """Read the tokenizer, then fork a process for each request until the control socket closes."""
    from llguidance import LLTokenizer

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that no ended process stays as a zombie
    with socket.socket(fileno=control_fd) as control:
        stream = control.makefile("rb")
        told = json.loads(stream.readline())
        tokenizer = LLTokenizer(told["tokenizer"], n_vocab=told["vocab_size"], eos_token=told["stops"])
        control.sendall(b"r")
        while True:
            marker, fds, _, _ = socket.recv_fds(control, 1, 1)
            if not marker:
                return
            if os.fork() == 0:
                control.close()
                _serve(Connection(fds[0]), tokenizer)
                os._exit(0)
            os.close(fds[0])


def _serve(requests: Connection, tokenizer: LLTokenizer) -> None:
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (limit := _address_space() + MEMORY_BYTES, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (COMPILE_SECONDS, COMPILE_SECONDS + STEP_SECONDS))
    try:
        asked = json.loads(requests.recv_bytes())
        try:
            first = _compiled(tokenizer, asked["kind"], asked["source"])
            fault = str(first.get_error()) if first.is_error() else None
        except (ValueError, MemoryError, RecursionError) as error:
            fault = str(error) or type(error).__name__
        requests.send_bytes(json.dumps({"error": fault}).encode())
        if fault is not None:
            return
        resource.setrlimit(resource.RLIMIT_CPU, (COMPILE_SECONDS + STEP_SECONDS, COMPILE_SECONDS + STEP_SECONDS))
        matchers = [first, *(first.deep_copy() for _ in range(asked["count"] - 1))]
        while True:
            number, token = STEP.unpack(requests.recv_bytes())
            requests.send_bytes(STEP.pack(number, token) + _step(matchers[number], token))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the request ended


def _compiled(tokenizer: LLTokenizer, kind: str, source: Any) -> LLMatcher:
    from llguidance import LLMatcher

    if kind == "json_schema":
        # Without room to choose white space: a small model would write nothing else.
        text = LLMatcher.grammar_from_json_schema(source, overrides={"whitespace_flexible": False})
    else:
        text = (LLMatcher.grammar_from_regex if kind == "regex" else LLMatcher.grammar_from_lark)(str(source))
    return LLMatcher(tokenizer, text, log_level=0)


def _step(matcher: LLMatcher, token: int) -> bytes:
    """Return the answer to one step; token: what was written, -1 at the beginning of a reply."""
    if token >= 0 and not matcher.is_stopped():
        matcher.consume_token(token)
    if matcher.is_stopped() and not matcher.is_error():
        return STOPPED
    mask: bytes = matcher.compute_bitmask()
    if matcher.is_error():
        return FAULT + str(matcher.get_error()).encode()
    return STOPPED if matcher.is_stopped() else MASK + bytes(mask)


def _address_space() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a number of the kernel
        return int(file.read().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main(int(sys.argv[1]))
