"""What a server refuses, and what becomes of clients that leave, come too many at once, or ask for too long."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import generate
from model.layers.decoding.projection import Projection
from model.networks.decoder import Decoder
from model.serving.connections import AddressError, bound
from model.serving.own import OwnModel
from model.serving.served import ServeLimits
from tests.model.serving.malformed import malformed
from tests.model.serving.running import own_model, serving

JSON = {"Content-Type": "application/json"}


def asked(content: str = "Who?", **more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": content}], "temperature": 0, **more}


def wait_until(true: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_five_hundred_malformed_requests_get_4xx_and_the_server_goes_on(address: str) -> None:
    statuses: Counter[int] = Counter()
    with httpx.Client(base_url=address, headers=JSON, timeout=30) as client:
        for path, kind, body in malformed(500):
            answer = client.post(path, content=body)
            statuses[answer.status_code] += 1
            assert 400 <= answer.status_code < 500, (path, kind, body[:200], answer.text[:200])
            assert answer.json()["error"]["message"]
        assert client.post("/v1/chat/completions", json=asked(max_tokens=2)).status_code == 200
    assert sum(statuses.values()) == 500


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (asked(tools=[{"type": "function"}]), "tools.0.function: Field required"),
        (asked(temperatur=1), "temperatur is not offered"),
        (asked(temperature=3), "temperature: Input should be less than or equal to 2"),
        (asked(temperature="hot"), "temperature: Input should be a valid number"),
        (
            asked(temperature=1e-50),
            "temperature: 1e-50 is too small to divide by: give 0, which takes the likeliest token, or at least 0.0001",
        ),
        (asked(repetition_penalty=1e-45), "repetition_penalty: Input should be greater than or equal to 0.01"),
        ({**asked(), "max-tokens": 5}, "'max-tokens' is not offered here"),
        (asked(max_tokens=65), "max_tokens=65 is more than this server's 64"),
        (asked(n=9), "n=9 for 1 prompts is more"),
        (asked(logit_bias={"99999": 1}), "logit_bias names token 99999"),
        (asked(top_logprobs=2), "top_logprobs needs logprobs=true"),
        (asked(guided_regex="(("), "regex"),
        ({**asked(), "messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
    ],
)
def test_a_wrong_request_is_told_which_field_and_why(address: str, body: dict[str, Any], said: str) -> None:
    answer = httpx.post(f"{address}/v1/chat/completions", json=body)
    assert answer.status_code == 400 and said in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("more", [{}, {"stream": True}, {"n": 9}])
def test_a_completion_of_no_prompts_is_refused(address: str, more: dict[str, Any]) -> None:
    answer = httpx.post(f"{address}/v1/completions", json={"model": "tiny", "prompt": [], **more}, timeout=10)
    assert answer.status_code == 400 and "prompt" in answer.json()["error"]["message"]


def test_the_smallest_settings_that_are_taken_write_a_reply(address: str) -> None:
    body = asked(max_tokens=3) | {"temperature": 0.0001, "repetition_penalty": 0.01}
    assert httpx.post(f"{address}/v1/chat/completions", json=body).status_code == 200


@pytest.mark.parametrize(
    "arguments", ["[" * 5000, '{"a":' * 900 + "1" + "}" * 900, '{"a":' * 65 + "1" + "}" * 65, '{"a": "\\ud800"}', '{"\\ud800": 1}']
)
def test_arguments_of_a_call_that_are_no_object_of_few_levels_are_refused(address: str, arguments: str) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": arguments}}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "y"}]
    answer = httpx.post(f"{address}/v1/chat/completions", json={"model": "tiny", "messages": messages}, timeout=10)
    assert answer.status_code == 400 and "the arguments of find are not a JSON object" in answer.json()["error"]["message"]


def test_wrong_paths_methods_types_and_sizes_are_told_apart(address: str) -> None:
    assert httpx.get(f"{address}/v2").status_code == 404
    assert httpx.get(f"{address}/v1/completions").status_code == 405
    assert httpx.post(f"{address}/v1/completions", content="{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert httpx.post(f"{address}/v1/completions", json={"prompt": "x" * 30_000}).status_code == 413
    assert all("message" in httpx.get(f"{address}{path}").json()["error"] for path in ("/v2", "/v1/completions"))


def test_a_page_of_another_site_that_points_its_name_here_is_refused(address: str) -> None:
    assert httpx.get(f"{address}/v1/models", headers={"Host": "evil.example"}).status_code == 403
    for own in ("localhost:1", "127.0.0.2:8000", "[::1]:8000", "[::1]", "127.0.0.1"):
        assert httpx.get(f"{address}/v1/models", headers={"Host": own}).status_code == 200, own
    assert httpx.get(f"{address}/v1/models", headers={"Host": "127.0.0.1.evil.example"}).status_code == 403


def test_with_a_key_nothing_of_models_is_told_without_it(tiny: OwnModel, decoder: Decoder, chat_format: ChatFormat) -> None:
    with serving([own_model(decoder, chat_format)], key="k" * 20) as address:
        assert httpx.get(f"{address}/v1/models").status_code == 401
        assert httpx.get(f"{address}/v1/models", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert httpx.get(f"{address}/metrics").status_code == 401
        assert httpx.get(f"{address}/v1/models", headers={"Authorization": f"Bearer {'k' * 20}"}).status_code == 200
        assert httpx.get(f"{address}/health").status_code == httpx.get(f"{address}/").status_code == 200


def test_a_server_for_other_machines_needs_a_key_and_a_free_port() -> None:
    with pytest.raises(AddressError, match="no key: set FOLIO_SERVE_KEY"):
        bound("0.0.0.0", 0, None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(AddressError, match="in use"):
            bound("127.0.0.1", taken.getsockname()[1], None)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_vanishes_frees_its_row(endless: Decoder, chat_format: ChatFormat, stream: bool) -> None:
    limits = ServeLimits(rows=1, waiting=4, max_tokens=8000)
    model = own_model(endless, chat_format, limits=limits)
    with serving([model], limits) as address:
        port = int(address.rsplit(":", 1)[1])
        body = json.dumps(asked(max_tokens=8000, stream=stream)).encode()
        with socket.create_connection(("127.0.0.1", port)) as vanishing:
            head = [
                "POST /v1/chat/completions HTTP/1.1",
                "Host: localhost",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
            ]
            vanishing.sendall("\r\n".join([*head, "", ""]).encode() + body)
            wait_until(lambda: model.engine.running == 1)
            if stream:
                assert b"200 OK" in vanishing.recv(1000)
        wait_until(lambda: model.engine.running == 0, 5)
        assert httpx.post(f"{address}/v1/chat/completions", json=asked(max_tokens=3), timeout=20).status_code == 200


def test_more_than_may_wait_are_turned_away_and_told_to_come_again(endless: Decoder, chat_format: ChatFormat) -> None:
    limits = ServeLimits(rows=1, waiting=2, max_tokens=8000, queue_seconds=0.5, reply_seconds=1.5)
    model = own_model(endless, chat_format, limits=limits)
    with serving([model], limits) as address, ThreadPoolExecutor(6) as pool:

        def ask() -> httpx.Response:
            return httpx.post(f"{address}/v1/chat/completions", json=asked(max_tokens=8000), timeout=30)

        first = pool.submit(ask)
        wait_until(lambda: model.engine.running == 1)
        others = [answer.result() for answer in [pool.submit(ask) for _ in range(5)]]
        assert Counter(answer.status_code for answer in others) == {429: 3, 503: 2}
        assert all(answer.headers["Retry-After"] == "1" for answer in others if answer.status_code == 429)
        whole = first.result().json()
        assert whole["choices"][0]["finish_reason"] == "length" and 0 < whole["usage"]["completion_tokens"] < 8000


def test_many_at_once_each_get_what_they_would_get_alone(address: str, decoder: Decoder, chat_format: ChatFormat) -> None:
    def ask(number: int) -> str:
        body = asked(f"Who walked on day {number}?", seed=number, max_tokens=12 + number % 9) | {"temperature": 0.9 * (number % 2)}
        for _ in range(200):
            answer = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60)
            if answer.status_code != 429:
                return str(answer.json()["choices"][0]["message"]["content"])
            time.sleep(0.05)
        raise AssertionError("always busy")

    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(ask, range(40)))
    for number, found in enumerate(replies):
        prompt = chat_format.encode_chat([{"role": "user", "content": f"Who walked on day {number}?"}])
        config = SamplingConfig(temperature=0.9 * (number % 2), max_new_tokens=12 + number % 9)
        assert found == chat_format.decode(list(generate(decoder.decoding(), prompt, config, chat_format.stop_ids, number)))


def test_a_model_whose_weights_are_damaged_answers_500_and_the_server_lives(decoder: Decoder, chat_format: ChatFormat) -> None:
    broken = own_model(decoder, chat_format)
    broken.network.head = Projection(decoder.read_weights()[0] * float("nan"), None)
    with serving([broken]) as address:
        answer = httpx.post(f"{address}/v1/chat/completions", json=asked(max_tokens=3), timeout=20)
        assert answer.status_code == 500 and "weights are damaged" in answer.json()["error"]["message"]
        assert httpx.get(f"{address}/health").json() == {"status": "ok"}


def test_metrics_count_requests_and_tokens_and_hold_no_words(address: str, tiny: OwnModel) -> None:
    def value(page: str, name: str, **labels: str) -> float:
        return next(
            sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    httpx.post(f"{address}/v1/chat/completions", json=asked("a very secret thing", max_tokens=5))
    before = httpx.get(f"{address}/metrics").text
    httpx.post(f"{address}/v1/chat/completions", json=asked(max_tokens=5))
    after = httpx.get(f"{address}/metrics").text
    told = {"path": "/v1/chat/completions", "status": "200"}
    assert value(after, "folio_requests_total", **told) == value(before, "folio_requests_total", **told) + 1
    written = {"model": "tiny"}
    assert value(after, "folio_tokens_written_total", **written) == value(before, "folio_tokens_written_total", **written) + 5
    assert "secret" not in after and value(after, "folio_replies_running", **written) == 0
