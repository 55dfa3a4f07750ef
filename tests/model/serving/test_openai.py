"""The official client against the server: what it asks is what it gets."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import openai
import pytest
import torch

from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import generate
from model.networks.decoder import Decoder
from model.networks.network import Network

ASKED: list[Any] = [{"role": "user", "content": "Who walked?"}]


def expected(decoder: Decoder, chat_format: ChatFormat, config: SamplingConfig, seed: int = 0) -> str:
    prompt = chat_format.encode_chat(ASKED)
    return chat_format.decode(list(generate(decoder.decoding(), prompt, config, chat_format.stop_ids, seed)))


@pytest.mark.parametrize("model", ["tiny", "drafted"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_reply_is_what_the_model_writes_whole_and_streamed(
    client: openai.OpenAI, decoder: Decoder, chat_format: ChatFormat, temperature: float, model: str
) -> None:
    text = expected(decoder, chat_format, SamplingConfig(temperature=temperature, max_new_tokens=20), 5)
    whole = client.chat.completions.create(model=model, messages=ASKED, temperature=temperature, seed=5, max_tokens=20)
    assert whole.choices[0].message.content == text and whole.choices[0].finish_reason == "length"
    assert whole.usage and whole.usage.completion_tokens == 20 and whole.system_fingerprint == "folio-0123"
    stream = client.chat.completions.create(
        model=model, messages=ASKED, temperature=temperature, seed=5, max_tokens=20, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage and chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens


def test_completions_take_texts_and_tokens_one_or_several(client: openai.OpenAI, decoder: Decoder, chat_format: ChatFormat) -> None:
    prompts = ["Ada walked", "On day"]
    texts = [
        chat_format.decode(
            list(generate(decoder.decoding(), chat_format.encode_document(p), SamplingConfig(max_new_tokens=8), chat_format.stop_ids))
        )
        for p in prompts
    ]
    found = client.completions.create(model="tiny", prompt=prompts, temperature=0, max_tokens=8)
    assert [choice.text for choice in found.choices] == texts
    ids = client.completions.create(model="tiny", prompt=chat_format.encode_document(prompts[0]), temperature=0, max_tokens=8)
    assert ids.choices[0].text == texts[0]
    streamed: dict[int, str] = {}
    for chunk in client.completions.create(model="tiny", prompt=prompts, temperature=0, max_tokens=8, stream=True):
        streamed[chunk.choices[0].index] = streamed.get(chunk.choices[0].index, "") + chunk.choices[0].text
    assert [streamed[0], streamed[1]] == texts


def test_a_prompt_is_counted_once_however_many_replies_there_are_to_it(client: openai.OpenAI, chat_format: ChatFormat) -> None:
    read = len(chat_format.encode_chat(ASKED))
    whole = client.chat.completions.create(model="tiny", messages=ASKED, temperature=0, n=3, max_tokens=4)
    assert whole.usage and (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (read, 12)
    assert whole.usage.prompt_tokens_details and (whole.usage.prompt_tokens_details.cached_tokens or 0) <= read
    prompts = ["Ada walked", "On day"]
    chunks = client.completions.create(
        model="tiny", prompt=prompts, temperature=0, n=2, max_tokens=4, stream=True, stream_options={"include_usage": True}
    )
    usage = list(chunks)[-1].usage
    assert usage and usage.prompt_tokens == sum(len(chat_format.encode_document(prompt)) for prompt in prompts)


def test_log_probabilities_are_the_model_s(client: openai.OpenAI, decoder: Decoder, chat_format: ChatFormat) -> None:
    found = client.chat.completions.create(
        model="tiny", messages=ASKED, temperature=1.5, seed=3, max_tokens=6, logprobs=True, top_logprobs=3
    )
    logprobs = found.choices[0].logprobs
    assert logprobs and logprobs.content
    prompt = chat_format.encode_chat(ASKED)
    ids = list(generate(decoder.decoding(), prompt, SamplingConfig(temperature=1.5, max_new_tokens=6), chat_format.stop_ids, 3))
    with torch.no_grad():
        log_TV = decoder.logits({"tokens": torch.tensor([prompt + ids])})[0, len(prompt) - 1 : -1].log_softmax(-1)
    for entry, token, log_V in zip(logprobs.content, ids, log_TV, strict=True):
        assert entry.logprob == pytest.approx(float(log_V[token]), abs=1e-3)
        assert [top.logprob for top in entry.top_logprobs] == pytest.approx(log_V.topk(3).values.tolist(), abs=1e-3)
    spelled = b"".join(bytes(entry.bytes or []) for entry in logprobs.content)
    assert spelled.decode(errors="replace") == found.choices[0].message.content
    chunks = list(
        client.chat.completions.create(model="tiny", messages=ASKED, temperature=1.5, seed=3, max_tokens=6, logprobs=True, stream=True)
    )
    told = [entry.logprob for chunk in chunks if (part := chunk.choices[0].logprobs) for entry in part.content or []]
    assert told == pytest.approx([entry.logprob for entry in logprobs.content], abs=1e-4)
    plain = client.completions.create(model="tiny", prompt="Ada", temperature=0, max_tokens=4, logprobs=2)
    assert plain.choices[0].logprobs and len(plain.choices[0].logprobs.top_logprobs or []) == 4


def test_a_reply_stops_before_a_stop_string(client: openai.OpenAI, decoder: Decoder, chat_format: ChatFormat) -> None:
    text = expected(decoder, chat_format, SamplingConfig(max_new_tokens=30))
    stop = text[6:9]
    found = client.chat.completions.create(model="tiny", messages=ASKED, temperature=0, max_tokens=30, stop=[stop, "\x00never"])
    assert found.choices[0].message.content == text[: text.index(stop)] and found.choices[0].finish_reason == "stop"
    chunks = client.chat.completions.create(model="tiny", messages=ASKED, temperature=0, max_tokens=30, stop=stop, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text[: text.index(stop)]


def test_a_seed_repeats_a_reply_and_choices_differ(client: openai.OpenAI) -> None:
    def asked(**more: Any) -> list[str | None]:
        made = client.chat.completions.create(model="tiny", messages=ASKED, temperature=1.0, max_tokens=12, **more)
        return [choice.message.content for choice in made.choices]

    assert asked(seed=7, n=3) == asked(seed=7, n=3)
    assert len(set(asked(seed=7, n=3))) == 3 and asked() != asked()


def test_json_follows_its_schema(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    schema = {"type": "object", "properties": {"who": {"enum": ["Ada", "Clara"]}}, "required": ["who"], "additionalProperties": False}
    form: Any = {"type": "json_schema", "json_schema": {"name": "who", "schema": schema}}
    found = client.chat.completions.create(model="tiny", messages=ASKED, temperature=1.0, seed=1, response_format=form)
    assert json.loads(found.choices[0].message.content or "")["who"] in ("Ada", "Clara")
    assert found.choices[0].finish_reason == "stop"
    found = client.chat.completions.create(model="tiny", messages=ASKED, seed=1, extra_body={"guided_regex": "(yes|no)"})
    assert found.choices[0].message.content in ("yes", "no")
    with pytest.raises(openai.BadRequestError, match="json_schema"):
        wrong: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
        client.chat.completions.create(model="tiny", messages=ASKED, response_format=wrong)


def test_settings_beyond_openai_s_reach_the_model(client: openai.OpenAI, decoder: Decoder, chat_format: ChatFormat) -> None:
    config = SamplingConfig(
        temperature=0.9, top_k=9, top_p=0.9, min_p=0.05, repetition_penalty=1.2, presence_penalty=0.5, max_new_tokens=12
    )
    found = client.chat.completions.create(
        model="tiny", messages=ASKED, temperature=0.9, top_p=0.9, presence_penalty=0.5, seed=2, max_tokens=12,
        extra_body={"top_k": 9, "min_p": 0.05, "repetition_penalty": 1.2},
    )  # fmt: skip
    assert found.choices[0].message.content == expected(decoder, chat_format, config, 2)


def test_an_encoder_gives_vectors_of_length_1(client: openai.OpenAI, address: str) -> None:
    found = client.embeddings.create(model="vectors", input=["Ada walked", "Bruno"], encoding_format="float")
    assert len(found.data) == 2 and sum(x * x for x in found.data[0].embedding) == pytest.approx(1, abs=1e-4)
    packed: Any = client.post("/embeddings", body={"model": "vectors", "input": "Bruno", "encoding_format": "base64"}, cast_to=object)
    values = struct.unpack("<32f", base64.b64decode(packed["data"][0]["embedding"]))
    assert list(values) == pytest.approx(found.data[1].embedding, abs=1e-6)
    with pytest.raises(openai.NotFoundError, match="writes no text"):
        client.chat.completions.create(model="vectors", messages=ASKED)


@pytest.mark.parametrize("model", ["tiny", "drafted", "gru", "vectors"])
def test_every_model_gives_the_mean_of_its_hidden_vectors(
    client: openai.OpenAI, networks: dict[str, Network], chat_format: ChatFormat, model: str
) -> None:
    texts = ["Ada walked", "On day 3 Bruno walked from Avel to Brin", "x"]
    found = client.embeddings.create(model=model, input=texts)  # the client asks for base64
    rows = [chat_format.encode_document(text) for text in texts]
    for ids, one in zip(rows, found.data, strict=True):
        with torch.no_grad():
            mean_D = networks[model]({"tokens": torch.tensor([ids])})[0, 1:].mean(0)
        assert one.embedding == pytest.approx((mean_D / mean_D.norm()).tolist(), abs=1e-4)
    assert [one.index for one in found.data] == [0, 1, 2] and found.usage.prompt_tokens == sum(map(len, rows))
    by_ids = client.embeddings.create(model=model, input=rows[0], encoding_format="float")
    assert by_ids.data[0].embedding == pytest.approx(found.data[0].embedding, abs=1e-5)


@pytest.mark.parametrize(
    ("given", "said", "code"),
    [("walk " * 100, "this model reads at most 64", "context_length_exceeded"), ("", "text 0 is empty", "invalid_value"),
     ([["a"]], "input", "invalid_value"), ([], "input", "invalid_value"), ([[5000]], "holds token 5000", "invalid_value")],
)  # fmt: skip
def test_a_text_that_can_t_be_embedded_is_refused_in_openai_s_form(client: openai.OpenAI, given: Any, said: str, code: str) -> None:
    for model in ("tiny", "gru", "vectors"):
        with pytest.raises(openai.BadRequestError, match=said) as error:
            client.embeddings.create(model=model, input=given)
        assert error.value.code == code and error.value.type == "invalid_request_error" and str(error.value.param).startswith("input")
    with pytest.raises(openai.BadRequestError, match="dimensions is not offered"):
        client.embeddings.create(model="tiny", input="Ada", dimensions=8)


def test_models_are_listed_and_one_that_is_not_there_is_named(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny", "drafted", "gru", "vectors"]
    assert client.models.retrieve("tiny").owned_by == "folio"
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt'"):
        client.chat.completions.create(model="gpt", messages=ASKED)


def test_a_conversation_that_does_not_fit_is_refused_or_loses_its_oldest_turns(client: openai.OpenAI) -> None:
    long: list[Any] = [{"role": role, "content": "On day 3 Ada walked."} for _ in range(6) for role in ("user", "assistant")]
    long.append(ASKED[0])
    with pytest.raises(openai.BadRequestError, match="context is 64 tokens") as error:
        client.chat.completions.create(model="tiny", messages=long)
    assert error.value.code == "context_length_exceeded"
    assert client.chat.completions.create(model="tiny", messages=long, max_tokens=8, extra_body={"truncation": "auto"}).choices


@pytest.mark.parametrize(
    ("kind", "given", "why"),
    [
        ("image_url", {"url": "data:image/png;base64,AA=="}, "tiny reads no pictures here"),
        ("input_audio", {"data": "", "format": "wav"}, "tiny reads no sounds here"),
    ],
)
def test_pictures_and_sound_are_refused_by_name(client: openai.OpenAI, kind: str, given: dict[str, str], why: str) -> None:
    content: Any = [{"type": "text", "text": "Who?"}, {"type": kind, kind: given}]
    with pytest.raises(openai.BadRequestError, match=f"a part of type {kind}: {why}"):
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": content}])
