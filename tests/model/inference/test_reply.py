"""Replies that end before a stop string, or follow a grammar."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.inference.batch import Batch
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.grammar import GrammarCompiler, GrammarError
from model.inference.reply import ReplyText
from model.inference.request import Request
from model.networks.decoder import Decoder


@settings(max_examples=60, deadline=None)
@given(text=st.text("ab. ", max_size=30), stops=st.lists(st.text("ab. ", min_size=1, max_size=4), max_size=3))
def test_a_text_ends_before_its_first_stop_string_however_it_comes(chat_format: ChatFormat, text: str, stops: list[str]) -> None:
    reply, shown = ReplyText(chat_format.stream(), stops), ""
    for token in chat_format.encode_text(text):
        shown += reply.push(token)
        assert not any(stop in shown for stop in stops)
    shown += reply.finish()
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    assert reply.stopped == bool(places)
    # A token may bring more than one stop string at once; the text then ends before the one that was met first.
    assert text.startswith(shown) and not any(stop in shown for stop in stops)
    if not places:
        assert shown == text


def constrained(decoder: Decoder, chat_format: ChatFormat, kind: str, source: object, seed: int) -> Request:
    compiler = GrammarCompiler(chat_format, decoder.vocab_size)
    grammar = compiler.grammar(kind, source)  # type: ignore[arg-type]
    request = Request([1, 5], SamplingConfig(temperature=1.0), 60, chat_format.stop_ids, seed, constraint=grammar)
    batch = Batch(decoder.decoding())
    batch.join([request])
    while batch.requests:
        batch.step()
    return request


def test_a_random_model_writes_json_of_a_schema(decoder: Decoder, chat_format: ChatFormat) -> None:
    pytest.importorskip("llguidance")
    schema = {
        "type": "object",
        "properties": {"name": {"enum": ["Ada", "Bruno"]}, "alive": {"type": "boolean"}},
        "required": ["name", "alive"],
        "additionalProperties": False,
    }
    for seed in range(4):
        request = constrained(decoder, chat_format, "json_schema", schema, seed)
        value = json.loads(chat_format.decode(request.tokens))
        assert request.ended and value["name"] in ("Ada", "Bruno") and isinstance(value["alive"], bool)


@pytest.mark.parametrize(("kind", "source", "pattern"), [("regex", "(yes|no)!", "(yes|no)!"), ("lark", 'start: "a" "b" | "c"', "ab|c")])
def test_a_random_model_follows_a_grammar(decoder: Decoder, chat_format: ChatFormat, kind: str, source: str, pattern: str) -> None:
    pytest.importorskip("llguidance")
    for seed in range(4):
        request = constrained(decoder, chat_format, kind, source, seed)
        assert request.ended and re.fullmatch(pattern, chat_format.decode(request.tokens))


@pytest.mark.parametrize(
    ("kind", "source"), [("json_schema", {"type": "nonsense"}), ("json_schema", "{"), ("regex", "(("), ("lark", "start: ::")]
)
def test_a_grammar_that_cannot_be_read_is_refused(decoder: Decoder, chat_format: ChatFormat, kind: str, source: object) -> None:
    pytest.importorskip("llguidance")
    with pytest.raises(GrammarError, match=kind):
        GrammarCompiler(chat_format, decoder.vocab_size).grammar(kind, source)  # type: ignore[arg-type]
