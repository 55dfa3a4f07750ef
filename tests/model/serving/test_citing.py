"""A server that answers from documents: OpenAI's answers with a field for what they cite, whole and as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from model.inference.chat_format import ChatFormat
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from tests.model.inference.test_documents import Shelf, Told
from tests.model.serving.running import own_model, serving

pytest.importorskip("llguidance")  # holds replies to what a test wants said

RED = Told("handbook/a.txt", "The saw is red", start=3, end=17)
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Hue?"}], "guided_regex": r"The saw is (red|old) \[1\]", "temperature": 0}


@pytest.fixture(scope="module")
def address(chat_format: ChatFormat) -> Iterator[str]:
    """A server of a model that answers from documents, and of the same model that does not."""
    wide = Decoder(DecoderConfig(width=32, layers=1, heads=4, context=512), chat_format.tokenizer.get_vocab_size(), seed=1).eval()
    models = [own_model(wide, chat_format, name) for name in ("documents", "plain")]
    models[0].documents = Shelf(RED, Told("handbook/b.txt", "Hot"))
    with serving(models) as url:
        yield url


def ask(address: str, model: str = "documents", **more: Any) -> httpx.Response:
    return httpx.post(f"{address}/v1/chat/completions", json={**ASK, "model": model, **more}, timeout=60)


def test_an_answer_brings_its_citations_with_document_and_place(address: str) -> None:
    body = ask(address).json()
    said, plain = body["choices"][0]["message"]["content"], ask(address, "plain").json()
    first, second = body["citations"]
    expected = {"choice": 0, "number": 1, "document": "handbook/a.txt", "start": 3, "end": 17, "text": "The saw is red", "cited": True}
    assert {name: first[name] for name in expected} == expected
    assert first["supported"] is (said == "The saw is red [1]") and (second["cited"], second["supported"]) == (False, None)
    assert "citations" not in plain and body["usage"]["prompt_tokens"] > plain["usage"]["prompt_tokens"] + 20


def test_a_stream_brings_the_same_in_its_last_chunk(address: str) -> None:
    lines = [line.removeprefix("data: ") for line in ask(address, stream=True).text.split("\n") if line]
    assert lines[-1] == "[DONE]"
    *chunks, last = [json.loads(line) for line in lines[:-1]]
    assert last["choices"] == [] and last["citations"] == ask(address).json()["citations"] and last["id"] == chunks[0]["id"]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks).startswith("The saw is")
    assert "citations" not in ask(address, "plain", stream=True).text


def test_an_answer_without_passages_says_so_by_an_empty_list(address: str) -> None:
    long = {"role": "user", "content": "What? " * 80}
    assert ask(address, messages=[long], guided_regex="It is red").json()["citations"] == []
    (only,) = ask(address, messages=[long]).json()["citations"]
    assert (only["number"], only["document"], only["supported"]) == (1, "", False), "it cites what it was not shown"


def test_each_of_several_replies_has_citations_of_its_own(address: str) -> None:
    found = ask(address, n=2, temperature=1.0, seed=1).json()
    assert sorted({citation["choice"] for citation in found["citations"]}) == [0, 1]


def test_the_official_client_reads_them(address: str) -> None:
    from openai import OpenAI

    client = OpenAI(base_url=f"{address}/v1", api_key="none")
    answer: Any = client.chat.completions.create(
        model="documents", messages=[{"role": "user", "content": "Hue?"}], extra_body={"guided_regex": ASK["guided_regex"]}
    )
    assert answer.citations[0]["document"] == "handbook/a.txt"
