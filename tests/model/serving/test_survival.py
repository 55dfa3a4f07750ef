"""Requests that would end a server, or shut it for others: each is answered or dropped, and the server goes on."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import resource
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from model.inference.chat_format import ChatFormat
from model.inference.grammar import STEP_WAIT, GrammarCompiler
from model.networks.decoder import Decoder
from model.serving.app import make_app
from model.serving.connections import FILES, with_files
from model.serving.own import OwnModel
from model.serving.served import ServeLimits
from tests.model.conftest import random_decoder
from tests.model.serving.running import answering, own_model, serving

LIMITS = ServeLimits(rows=4, waiting=40, max_tokens=64, connections=24, address_connections=20, head_seconds=1.0, body_seconds=1.0)
ASKED = [{"role": "user", "content": "hi"}]


def chain(links: int) -> dict[str, Any]:
    """A schema whose references lead from one to the next."""
    definitions = {f"d{link}": {"anyOf": [{"$ref": f"#/$defs/d{link + 1}"}, {"type": "null"}]} for link in range(links)}
    return {"$defs": {**definitions, f"d{links}": {"type": "integer"}}, "$ref": "#/$defs/d0"}


def nested(levels: int) -> str:
    """A Lark grammar of rules within rules."""
    return "\n".join(f"{'start' if not level else f'r{level}'}: r{level + 1}" for level in range(levels)) + f'\nr{levels}: "a"'


def held_to(schema: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}


PARAMETERS = ("response_format", "tools", "guided_grammar", "guided_regex")
KILLERS: dict[str, dict[str, Any]] = {
    "a schema": held_to(chain(2000)),
    "a tool": {"tools": [{"type": "function", "function": {"name": "f", "parameters": chain(2000)}}], "tool_choice": "required"},
    "a grammar": {"guided_grammar": nested(4000)},
    "a regular expression": {"guided_regex": "(" * 4000 + "a" + ")" * 4000},
    "a repetition": {"guided_regex": "((a{1000}){1000}){1000}"},
}


@pytest.fixture(scope="module")
def model(decoder: Decoder, chat_format: ChatFormat) -> Iterator[OwnModel]:
    pytest.importorskip("llguidance")
    big = random_decoder(decoder.vocab_size, seed=5)
    yield own_model(big, chat_format, limits=LIMITS)


@pytest.fixture(scope="module")
def address(model: OwnModel) -> Iterator[str]:
    with serving([model], LIMITS) as address:
        yield address


def ask(address: str, **more: Any) -> httpx.Response:
    body = {"model": "tiny", "messages": ASKED, "max_tokens": 8, "seed": 1, **more}
    return httpx.post(f"{address}/v1/chat/completions", json=body, timeout=120)


@pytest.mark.parametrize("kind", KILLERS)
def test_a_grammar_that_ends_its_compiler_is_answered_and_ends_nothing_else(address: str, kind: str) -> None:
    answer = ask(address, **KILLERS[kind])
    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        fault = answer.json()["error"]
        assert (
            fault["param"] in ("response_format", "tools", "guided_grammar", "guided_regex") or "could not be followed" in fault["message"]
        )
    assert ask(address).status_code == 200
    small = ask(address, max_tokens=40, **held_to({"enum": ["yes"]}))
    assert small.json()["choices"][0]["message"]["content"] == '"yes"'


def test_a_worker_that_died_is_started_again(model: OwnModel, address: str) -> None:
    assert ask(address, **held_to({"enum": [1]})).status_code == 200
    compiler = model._constraining._compiler
    assert compiler is not None and compiler._control is not None
    compiler._control.shutdown(socket.SHUT_RDWR)
    assert ask(address, max_tokens=40, **held_to({"enum": ["no"]})).json()["choices"][0]["message"]["content"] == '"no"'


def compilers() -> list[psutil.Process]:
    """The live processes that compile grammars for this one; each forks one for each request."""
    live = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in live if "model.inference.grammar_worker" in one.cmdline()]


def test_plain_requests_go_on_while_a_grammar_compiles(address: str) -> None:
    assert ask(address, **held_to({"enum": [1]})).status_code == 200
    alone, stopped = min(seconds(address) for _ in range(3)), compilers()
    for process in stopped:
        process.suspend()
    try:
        with ThreadPoolExecutor(1) as pool:
            compiling = pool.submit(ask, address, max_tokens=40, **held_to({"enum": ["late"]}))
            beside = [seconds(address) for _ in range(8)]
            assert not compiling.done()
            for process in stopped:
                process.resume()
            assert compiling.result().json()["choices"][0]["message"]["content"] == '"late"'
    finally:
        for process in stopped:
            process.resume()
    assert sorted(beside)[4] < max(5 * alone, 0.5)


def test_a_mask_that_does_not_come_holds_others_for_two_seconds(chat_format: ChatFormat) -> None:
    pytest.importorskip("llguidance")
    before = compilers()
    compiler = GrammarCompiler(chat_format, chat_format.tokenizer.get_vocab_size())
    grammar = compiler.grammar("regex", "[ab]{40}")
    (fork,) = next(process for process in compilers() if process not in before).children()
    fork.suspend()
    try:
        began = time.monotonic()
        grammar.accept(int(grammar.allowed().nonzero()[0]))
        grammar.allowed()
        assert time.monotonic() - began < STEP_WAIT + 1
        assert grammar.fault
    finally:
        fork.resume()
        compiler.close()


def test_masks_that_are_always_late_end_their_reply(chat_format: ChatFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llguidance")
    monkeypatch.setattr("model.inference.grammar.PATIENCE", 1.0)
    before = compilers()
    compiler = GrammarCompiler(chat_format, chat_format.tokenizer.get_vocab_size())
    grammar = compiler.grammar("regex", "[ab]{400}")
    (fork,) = next(process for process in compilers() if process not in before).children()
    began = time.monotonic()
    try:
        while not grammar.fault and time.monotonic() - began < 30:
            token = int(grammar.allowed().nonzero()[0])
            fork.suspend()
            grammar.accept(token)
            late = threading.Timer(0.4, fork.resume)
            late.start()
            grammar.allowed()
            late.join()
    finally:
        compiler.close()
    assert grammar.fault and time.monotonic() - began < 8


def test_eight_large_grammars_at_once_leave_plain_requests_their_speed(address: str) -> None:
    words = [f"{number:05d}-{'x' * 20}" for number in range(3000)]
    large = held_to({"type": "array", "items": {"enum": words}})
    alone = min(seconds(address) for _ in range(5))
    with ThreadPoolExecutor(8) as pool:
        compiling = [pool.submit(ask, address, **large) for _ in range(8)]
        beside = [seconds(address) for _ in range(10)]
        assert all(one.result().status_code in (200, 400, 429) for one in compiling)
    assert sorted(beside)[len(beside) // 2] < max(20 * alone, 2.0)


def seconds(address: str) -> float:
    began = time.perf_counter()
    assert ask(address).status_code == 200
    return time.perf_counter() - began


def half_open(address: str, sent: bytes, client: str = "127.0.0.1") -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30, source_address=(client, 0))
    connection.sendall(sent)
    return connection


def is_dropped(connection: socket.socket, seconds: float) -> bool:
    """Wait for the server to end a connection, without an answer or with one that says how long it took."""
    connection.settimeout(seconds)
    try:
        answer = connection.recv(1000)
    except ConnectionError:
        return True
    except (TimeoutError, BlockingIOError):
        return False
    return not answer or b" 408 " in answer.split(b"\r\n")[0]


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
HEADS = {
    "nothing": b"",
    "a part of a head": HEAD,
    "a part of a body": HEAD + b"Content-Type: application/json\r\nContent-Length: 900\r\n\r\n{",
}


@contextmanager
def many_files() -> Iterator[None]:
    """Allow the two ends of 1,000 connections in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3000:
        pytest.skip(f"this system allows {hard} open files, and both ends of 1,000 connections need 3,000")
    resource.setrlimit(resource.RLIMIT_NOFILE, (3000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("kind", "clients"), zip(HEADS, (1, 4, 4), strict=True))
def test_more_half_open_connections_than_there_is_room_for_never_shut_the_server(model: OwnModel, kind: str, clients: int) -> None:
    """By default a server takes 512 connections, 256 of one address."""
    limits = LIMITS.model_copy(update={"connections": 512, "address_connections": 256, "head_seconds": 3.0, "body_seconds": 3.0})
    most = limits.connections if clients > 1 else limits.address_connections
    with many_files(), answering(make_app({"tiny": model}, limits), limits, None) as address:
        began = time.monotonic()
        held = [half_open(address, HEADS[kind], f"127.0.0.{2 + number % clients}") for number in range(600)]
        try:
            assert httpx.get(f"{address}/health", timeout=30).status_code == 200
            assert ask(address).status_code == 200
            ended = [connection for connection in held if is_dropped(connection, 0.0)]
            if time.monotonic() - began < limits.head_seconds:
                # The oldest made room for those that came after: half-open ones, and two that asked something.
                assert 600 - most <= len(ended) <= 602 - most
            assert all(is_dropped(connection, 30) for connection in held if connection not in ended)
            assert time.monotonic() - began > limits.head_seconds
        finally:
            for connection in held:
                connection.close()


def test_where_every_connection_is_at_work_the_next_is_told_and_closed() -> None:
    released = threading.Event()

    async def working(scope: Any, receive: Any, send: Any) -> None:
        """Begin an answer, and end it when the test says so."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await asyncio.to_thread(released.wait, 60)
        await send({"type": "http.response.body", "body": b""})

    limits = ServeLimits(connections=3, address_connections=3)
    with answering(working, limits, None) as address:
        body = b'{"model": "tiny"}'
        head = HEAD + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        held = [half_open(address, head + body) for _ in range(3)]
        try:
            for connection in held:
                assert connection.recv(12) == b"HTTP/1.1 200"  # the answer has begun
            refused = httpx.get(f"{address}/health", timeout=30)
            assert refused.status_code == 503 and refused.headers["connection"] == "close"
            assert refused.json()["error"]["code"] == "connections_full"
        finally:
            released.set()
        for connection in held:
            answer = b""
            while not answer.endswith(b"\r\n0\r\n\r\n"):  # the end of a body in chunks
                part = connection.recv(1000)
                assert part
                answer += part
            connection.close()


def test_a_server_may_open_a_file_for_each_connection_or_takes_as_many_as_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = ServeLimits(connections=300)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
        assert with_files(limits) == limits
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300 + FILES, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (400, 400))
    assert with_files(limits).connections == 400 - FILES


def test_a_reply_that_fails_fails_alone(model: OwnModel, address: str) -> None:
    alone = ask(address, max_tokens=30).json()["choices"][0]["message"]["content"]
    make, failed = model.format.stream, threading.Event()

    class Failing:
        def push(self, token: int) -> str:
            failed.set()
            raise RuntimeError("this reply's text can't be read")

        def finish(self) -> str:
            return ""

    with ThreadPoolExecutor(4) as pool:
        beside = [pool.submit(ask, address, max_tokens=30) for _ in range(3)]
        model.format.stream = lambda text=(): Failing()  # type: ignore[assignment, method-assign, return-value]
        try:
            fault = ask(address, max_tokens=30)
        finally:
            model.format.stream = make  # type: ignore[method-assign]
        others = [one.result() for one in beside]
    assert failed.is_set() and fault.status_code == 500 and "can't be read" in fault.json()["error"]["message"]
    assert all(other.json()["choices"][0]["message"]["content"] == alone for other in others if other.status_code == 200)
    assert ask(address, max_tokens=30).json()["choices"][0]["message"]["content"] == alone


def test_biases_of_many_tokens_cost_next_to_nothing(address: str) -> None:
    bias = {str(token): -1.5 for token in range(250)}
    plain, biased = [], []
    for _ in range(5):
        plain.append(seconds(address))
        began = time.perf_counter()
        assert ask(address, logit_bias=bias).status_code == 200
        biased.append(time.perf_counter() - began)
    assert min(biased) < 3 * min(plain) + 0.05


@pytest.mark.parametrize("host", ["LOCALHOST", "localhost.", "Localhost:80", "[::1]", "[::1]:8000", "127.0.0.2", "[::ffff:127.0.0.1]:80"])
def test_every_name_of_this_machine_is_served(address: str, host: str) -> None:
    assert httpx.get(f"{address}/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["localhost.example.org", "example.org", "[::2]", "localhost..", "127.0.0.1.example.org", "::1"])
def test_other_names_are_refused_without_a_key(address: str, host: str) -> None:
    assert httpx.get(f"{address}/v1/models", headers={"Host": host}).status_code == 403


def test_a_message_may_carry_a_name(address: str) -> None:
    named = [{"role": "user", "name": "ada", "content": "hi"}]
    assert ask(address, messages=named).status_code == 200


def serve_apart(tokenizer_dir: Path, address: Connection) -> None:
    """Serve the model in a process of its own, whose memory is the server's alone, until the connection closes."""
    chat_format = ChatFormat(tokenizer_dir)
    decoder = random_decoder(chat_format.tokenizer.get_vocab_size(), seed=5)
    with serving([own_model(decoder, chat_format, limits=LIMITS)], LIMITS) as served:
        address.send(served)
        with suppress(EOFError):
            address.recv()


@pytest.mark.slow
def test_memory_is_steady_over_ten_thousand_mixed_requests(tokenizer_dir: Path) -> None:
    pytest.importorskip("llguidance")
    draw, held = random.Random(5), list[int]()
    mixed: list[dict[str, Any]] = [{}, {"logit_bias": {"5": 3}}, {"logprobs": True}, {"stream": True}, held_to({"enum": ["yes", "no"]})]
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    server = spawn.Process(target=serve_apart, args=(tokenizer_dir, theirs))
    server.start()
    theirs.close()
    try:
        with httpx.Client(base_url=ours.recv(), timeout=120) as client, ThreadPoolExecutor(8) as pool:

            def one(seed: int) -> str:
                words = random.Random(seed)
                text = " ".join(words.choice("abcdefgh") * words.randint(1, 6) for _ in range(9))
                body = {"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": 8, **words.choice(mixed)}
                answer = client.post("/v1/chat/completions", json=body)
                return "" if answer.status_code in (200, 429) else answer.text

            for _ in range(10):
                assert set(pool.map(one, [draw.randrange(1 << 30) for _ in range(1000)])) == {""}
                held.append(psutil.Process(server.pid).memory_info().rss)
    finally:
        ours.close()
        server.join(20)
        server.kill()
    print("memory after each thousand requests:", [f"{size >> 20} MiB" for size in held])
    assert held[-1] < 1.04 * held[4], [f"{size >> 20} MiB" for size in held]
