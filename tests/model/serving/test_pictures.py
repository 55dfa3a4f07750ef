"""Pictures that are sent to a server: what the model sees, and what is refused."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from data.shards.pictures import Picture
from data.sources.pictures import PictureOpener
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import generate
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.serving.own import OwnModel
from model.serving.served import About, ServeLimits
from tests.model.inputs.pictures import READS
from tests.model.serving.hostile_pictures import GOOD, HOSTILE, SAME, part, sent
from tests.model.serving.running import own_model, serving

LIMITS = ServeLimits(rows=4, waiting=8, max_tokens=64, body_bytes=20_000, pictures=3, picture_bytes=1 << 16)
UPRIGHT = Picture("L", 6, 4, bytes([*([0] * 3 + [255] * 3) * 2, *[255] * 12]))
QUESTION = {"type": "text", "text": "Who walked?"}


@pytest.fixture(scope="module")
def sighted(chat_format: ChatFormat) -> Decoder:
    """A tiny decoder that reads pictures."""
    config = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=64, context=128, inputs=READS, initial_std=0.4)
    return Decoder(config, chat_format.tokenizer.get_vocab_size(), seed=4).eval()


@pytest.fixture(scope="module")
def client(sighted: Decoder, decoder: Decoder, chat_format: ChatFormat) -> Iterator[openai.OpenAI]:
    about = About("sighted", [], 128, 1, None, ("chat", "completions", "pictures"), "folio")
    with PictureOpener() as opener:
        model = OwnModel(sighted.decoding(), chat_format, about, LIMITS, decode=opener)
        with (
            serving([model, own_model(decoder, chat_format, "blind", LIMITS)], LIMITS) as address,
            openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=60) as client,
        ):
            yield client


def ask(client: openai.OpenAI, *content: Any, model: str = "sighted", role: Any = "user", **settings: Any) -> Any:
    messages: Any = [{"role": role, "content": list(content)}]
    return client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=12, **settings)


def text_of(client: openai.OpenAI, *content: Any) -> str:
    return str(ask(client, *content).choices[0].message.content)


def expected(sighted: Decoder, chat_format: ChatFormat, text: str, *pictures: Picture) -> str:
    network = sighted.decoding()
    shown = {picture.name: network.see(picture, chat_format.pad_id or 0) for picture in pictures}
    prompt = chat_format.encode_chat([{"role": "user", "content": text}], pictures=shown)
    return chat_format.decode(list(generate(network, prompt, SamplingConfig(max_new_tokens=12), chat_format.stop_ids)))


def test_a_picture_is_shown_on_a_line_of_its_own_as_in_the_examples(
    client: openai.OpenAI, sighted: Decoder, chat_format: ChatFormat
) -> None:
    name = UPRIGHT.placeholder
    first = expected(sighted, chat_format, f"{name}\nWho walked?", UPRIGHT)
    assert text_of(client, SAME["a PNG"], QUESTION) == first
    assert text_of(client, QUESTION, SAME["a PNG"]) == expected(sighted, chat_format, f"Who walked?\n{name}", UPRIGHT)
    twice = expected(sighted, chat_format, f"{name}\n{name}\nWho walked?", UPRIGHT)
    assert text_of(client, SAME["a PNG"], SAME["a GIF"], QUESTION) == twice
    assert len({first, twice, text_of(client, QUESTION)}) > 1
    streamed = ask(client, SAME["a PNG"], QUESTION, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices) == first


@pytest.mark.parametrize("name", SAME)
def test_a_picture_is_the_same_in_every_form(client: openai.OpenAI, sighted: Decoder, chat_format: ChatFormat, name: str) -> None:
    other = expected(sighted, chat_format, "\nWho walked?")
    shown = expected(sighted, chat_format, f"{UPRIGHT.placeholder}\nWho walked?", UPRIGHT)
    assert text_of(client, SAME[name], QUESTION) == shown != other


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_picture_is_refused_by_name_and_the_server_answers_on(client: openai.OpenAI, name: str) -> None:
    given, said = HOSTILE[name]
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, given, QUESTION)
    assert said in str(refused.value) and len(str(refused.value)) < 1000
    assert text_of(client, QUESTION)


def test_a_person_is_told_which_picture_of_which_message_it_was(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, QUESTION, sent(GOOD), sent(b"words"))
    assert refused.value.param == "messages.0.content.2.image_url.url" and refused.value.code == "invalid_image"


def test_more_pictures_larger_requests_and_other_roles_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="more than 3 pictures"):
        ask(client, *[SAME["a PNG"]] * 4, QUESTION)
    with pytest.raises(openai.BadRequestError, match="a message of the system has a picture, which only the user's have"):
        ask(client, SAME["a PNG"], QUESTION, role="system")
    with pytest.raises(openai.APIStatusError, match="larger than 20000 bytes, its pictures left out") as long:
        ask(client, SAME["a PNG"], {"type": "text", "text": "x" * 30_000})
    with pytest.raises(openai.APIStatusError, match="larger than") as huge:
        ask(client, part("data:image/png;base64," + "A" * 400_000), QUESTION)
    assert long.value.status_code == huge.value.status_code == 413
    assert text_of(client, sent(GOOD + bytes(60_000)), QUESTION)  # larger than a request of text may be


def test_a_model_that_reads_none_says_so_and_which_do_is_listed(client: openai.OpenAI) -> None:
    with pytest.raises(
        openai.BadRequestError, match="blind reads no pictures here; ask a model whose abilities in /v1/models name pictures"
    ):
        ask(client, SAME["a PNG"], QUESTION, model="blind")
    listed: Any = httpx.get(f"{client.base_url}models").json()["data"]
    assert ["pictures" in model["folio"]["abilities"] for model in listed] == [True, False]


def test_a_name_in_a_text_shows_nobody_else_s_picture(client: openai.OpenAI, sighted: Decoder, chat_format: ChatFormat) -> None:
    text_of(client, SAME["a PNG"], QUESTION)
    forged = f"{UPRIGHT.placeholder}\nWho walked?"
    assert text_of(client, {"type": "text", "text": forged}) == expected(sighted, chat_format, forged)


def test_a_conversation_with_pictures_goes_on(client: openai.OpenAI, sighted: Decoder, chat_format: ChatFormat) -> None:
    messages: Any = [
        {"role": "user", "content": [SAME["a PNG"], QUESTION]},
        {"role": "assistant", "content": "Ada"},
        {"role": "user", "content": "And then?"},
    ]
    found = client.chat.completions.create(
        model="sighted", messages=messages, temperature=0, max_tokens=12, extra_body={"truncation": "auto"}
    )
    network = sighted.decoding()
    told = [{"role": "user", "content": f"{UPRIGHT.placeholder}\nWho walked?"}, *messages[1:]]
    prompt = chat_format.encode_chat(told, pictures={UPRIGHT.name: network.see(UPRIGHT, chat_format.pad_id or 0)})
    written = list(generate(network, prompt, SamplingConfig(max_new_tokens=12), chat_format.stop_ids))
    assert found.choices[0].message.content == chat_format.decode(written)


def test_a_picture_that_kills_its_parser_costs_that_request_alone(chat_format: ChatFormat, sighted: Decoder) -> None:
    def killed(content: bytes) -> Picture:
        raise RuntimeError("the parser process exited with status -9")

    about = About("sighted", [], 128, 1, None, ("chat", "pictures"), "folio")
    with serving([OwnModel(sighted.decoding(), chat_format, about, LIMITS, decode=killed)], LIMITS) as address:
        body = {"model": "sighted", "messages": [{"role": "user", "content": [sent(GOOD), QUESTION]}], "max_tokens": 3}
        answer = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=30)
        assert answer.status_code == 503 and "was killed; try again" in answer.json()["error"]["message"]
        body["messages"] = [{"role": "user", "content": "Who?"}]
        assert httpx.post(f"{address}/v1/chat/completions", json=body, timeout=30).status_code == 200


def test_the_same_file_is_decoded_once(chat_format: ChatFormat, sighted: Decoder) -> None:
    seen: list[bytes] = []

    def decode(content: bytes) -> Picture:
        seen.append(content)
        return UPRIGHT

    about = About("sighted", [], 128, 1, None, ("chat", "pictures"), "folio")
    with serving([OwnModel(sighted.decoding(), chat_format, about, LIMITS, decode=decode)], LIMITS) as address:
        for url in (b"one", b"one", b"two"):
            picture = part(f"data:image/png;base64,{base64.b64encode(url).decode()}")
            body = {"model": "sighted", "messages": [{"role": "user", "content": [picture, QUESTION]}], "max_tokens": 3}
            assert httpx.post(f"{address}/v1/chat/completions", json=body, timeout=30).status_code == 200
    assert seen == [b"one", b"two"]
