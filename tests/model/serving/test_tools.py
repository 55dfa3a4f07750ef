"""Tools in chat completions, by the official client: what may be called, what is told of calls, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from model.inference.chat_format import ChatFormat
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.serving.served import ServeLimits
from tests.model.serving.running import own_model, serving

LIMITS = ServeLimits(rows=4, waiting=8, max_tokens=400, body_bytes=50_000)
ASKED: list[Any] = [{"role": "user", "content": "Where is Ada?"}]
WHO = {"type": "object", "properties": {"who": {"enum": ["Ada", "Bruno"]}}, "required": ["who"], "additionalProperties": False}
FIND: Any = {"type": "function", "function": {"name": "find", "description": "Find someone", "parameters": WHO}}
NOW: Any = {"type": "function", "function": {"name": "now"}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"who":"Ada"}'}}
NAMED: Any = {"type": "function", "function": {"name": "now"}}


@pytest.fixture(scope="module")
def asked(chat_format: ChatFormat, tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    """A client of a model of random weights with room for tools, and of one whose template knows none."""
    pytest.importorskip("llguidance")
    config = DecoderConfig(width=32, layers=1, heads=4, feed_forward=64, context=1024, initial_std=0.4)
    decoder = Decoder(config, chat_format.tokenizer.get_vocab_size(), seed=4).eval()
    plain = tmp_path_factory.mktemp("plain")
    shutil.copytree(tokenizer_dir, plain, dirs_exist_ok=True)
    (plain / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}<|end|>{% endfor %}")
    models = [own_model(decoder, chat_format, "tiny", LIMITS), own_model(decoder, ChatFormat(plain), "plain", LIMITS)]
    with serving(models, LIMITS) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


def create(asked: openai.OpenAI, **more: Any) -> Any:
    return asked.chat.completions.create(**{"model": "tiny", "messages": ASKED, "tools": [FIND, NOW], "seed": 1, **more})


@pytest.mark.parametrize("seed", range(3))
def test_a_required_call_follows_its_schema_whole_and_streamed(asked: openai.OpenAI, seed: int) -> None:
    whole = create(asked, tool_choice="required", parallel_tool_calls=False, seed=seed).choices[0]
    (call,) = whole.message.tool_calls
    assert whole.finish_reason == "tool_calls" and whole.message.content is None and call.id.startswith("call_")
    given = json.loads(call.function.arguments)
    assert given == {} if call.function.name == "now" else given["who"] in ("Ada", "Bruno")
    chunks = list(create(asked, tool_choice="required", parallel_tool_calls=False, seed=seed, stream=True))
    parts = [part for chunk in chunks for part in chunk.choices[0].delta.tool_calls or []]
    assert parts[0].function.name == call.function.name and parts[0].id and all(part.index == 0 for part in parts)
    assert "".join(part.function.arguments for part in parts) == call.function.arguments
    assert not any(chunk.choices[0].delta.content for chunk in chunks) and chunks[-1].choices[0].finish_reason == "tool_calls"


def test_several_calls_have_numbers_and_ids_of_their_own(asked: openai.OpenAI, chat_format: ChatFormat) -> None:
    # A new line, which parts two calls, is by far the likeliest wherever it may come, so the reply ends at its longest.
    newline = {str(chat_format.encode_text("\n")[0]): 100}
    choice = create(asked, tool_choice="required", max_tokens=300, logit_bias=newline).choices[0]
    assert len(choice.message.tool_calls) > 1 and choice.finish_reason == "length"
    assert len({call.id for call in choice.message.tool_calls}) == len(choice.message.tool_calls)
    chunks = create(asked, tool_choice="required", max_tokens=300, logit_bias=newline, stream=True)
    parts = [part for chunk in chunks for part in chunk.choices[0].delta.tool_calls or []]
    told = ["".join(part.function.arguments for part in parts if part.index == number) for number in range(len(choice.message.tool_calls))]
    assert told == [call.function.arguments for call in choice.message.tool_calls]


def test_a_named_function_is_called_once_and_none_calls_nothing(asked: openai.OpenAI) -> None:
    for seed in range(3):
        (call,) = create(asked, tool_choice=NAMED, seed=seed).choices[0].message.tool_calls
        assert (call.function.name, call.function.arguments) == ("now", "{}")
    free = create(asked, tool_choice="none", max_tokens=16).choices[0]
    without = asked.chat.completions.create(model="tiny", messages=ASKED, seed=1, max_tokens=16).choices[0]
    assert free.message.content == without.message.content and free.message.tool_calls is None


def test_a_model_that_may_answer_or_call_answers_as_it_likes_and_its_calls_are_held(asked: openai.OpenAI, chat_format: ChatFormat) -> None:
    answer = create(asked, tool_choice="auto", max_tokens=16)
    assert answer.choices[0].message.content and answer.choices[0].message.tool_calls is None
    plain = asked.chat.completions.create(model="tiny", messages=ASKED, max_tokens=1)
    assert answer.usage is not None and plain.usage is not None
    assert answer.usage.prompt_tokens > plain.usage.prompt_tokens + 50  # it was told of the tools
    # Drawn towards the characters of the mark, it writes one in time; from there on the form and the schema hold.
    marks = {str(token): 20 for token in chat_format.encode_text("<tool_call>")}
    drawn = [create(asked, seed=seed, max_tokens=400, extra_body={"top_k": 12}, logit_bias=marks).choices[0] for seed in range(2)]
    for call in (call for choice in drawn for call in choice.message.tool_calls or []):
        assert call.function.name in ("find", "now")


def test_a_conversation_goes_on_from_the_tool_s_result(asked: openai.OpenAI, chat_format: ChatFormat) -> None:
    first = create(asked, tool_choice={"type": "function", "function": {"name": "find"}}).choices[0].message
    told = [*ASKED, first, {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "At Avel."}]
    answer = create(asked, messages=told, tool_choice="none", max_tokens=4)
    given = json.loads(first.tool_calls[0].function.arguments)
    call = {"type": "function", "function": {"name": "find", "arguments": given}}
    rendered = [ASKED[0], {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "At Avel."}]
    assert answer.usage.prompt_tokens == len(chat_format.encode_chat(rendered))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tools": [FIND, FIND]}, "tools has 'find' twice"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice needs tools"),
        ({"tool_choice": {"type": "function", "function": {"name": "fly"}}}, "tool_choice names 'fly', and tools has find, now"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "name"),
        ({"tools": [{"type": "web_search"}]}, "type"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}]}, "arguments are always an object"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"type": "x"}}}}}]}, "tools:"),
        ({"response_format": {"type": "json_object"}}, "response_format and tools are not offered together"),
        ({"logprobs": True}, "logprobs and tools are not offered together"),
        ({"messages": [*ASKED, {"role": "tool", "tool_call_id": "call_9", "content": "x"}]}, "no call before it has that id"),
        ({"messages": [*ASKED, {"role": "tool", "content": "x"}]}, "tool_call_id=None do not go together"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": [CALL]}]}, "only the assistant's have"),
        ({"messages": [{"role": "assistant"}]}, "has no content"),
        ({"messages": [*ASKED, {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": "[]"}}]}]},
         "not a JSON object"),
        ({"functions": [{"name": "f"}]}, "functions is not offered"),
        ({"model": "plain"}, "this model's chat template shows no tools"),
        ({"model": "plain", "tools": openai.NOT_GIVEN, "messages": [*ASKED, {"role": "assistant", "tool_calls": [CALL]},
          {"role": "tool", "tool_call_id": "call_1", "content": "x"}]}, "this model's chat template shows no tools"),
    ],
)  # fmt: skip
def test_what_can_t_be_is_refused_by_name(asked: openai.OpenAI, more: dict[str, Any], said: str) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        create(asked, **more)


@pytest.mark.parametrize("name", ["best_of", "num_beams", "beam_width", "use_beam_search", "length_penalty", "early_stopping"])
def test_beams_are_refused_by_name_with_where_they_are(asked: openai.OpenAI, name: str) -> None:
    for path in ("/chat/completions", "/completions"):
        body = {"model": "tiny", "max_tokens": 2, **({"messages": ASKED} if "chat" in path else {"prompt": "Ada"})}
        with pytest.raises(openai.BadRequestError, match=f"{name}: beam search is not offered by this API.*folio generate") as error:
            asked.post(path, body={**body, name: 4}, cast_to=object)
        assert error.value.param == name and error.value.code == "unsupported_parameter"
        asked.post(path, body={**body, name: None}, cast_to=object)
