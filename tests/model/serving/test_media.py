"""Pictures and recordings that are sent to a server: what the model sees and hears, and what is refused."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
import soundfile
from PIL import Image

from data.shards.pictures import SOUND, Picture, PictureGrid
from data.shards.sounds import RATE, SoundGrid
from data.sources.pictures import MediaOpener
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import generate
from model.inputs.config import SoundsConfig, TokensConfig
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.serving.own import OwnModel
from model.serving.served import About, ServeLimits
from tests.model.inputs.pictures import PICTURES, READS
from tests.model.serving.hostile_media import GOOD, HOSTILE, HOSTILE_TONES, SAME, SAME_TONES, TONE, part, played, sent, tone
from tests.model.serving.running import own_model, serving

LIMITS = ServeLimits(
    rows=4, waiting=8, max_tokens=64, body_bytes=20_000, pictures=3, picture_bytes=1 << 16, recordings=3, recording_bytes=1 << 16
)
UPRIGHT = Picture("L", 6, 4, bytes([*([0] * 3 + [255] * 3) * 2, *[255] * 12]))
QUESTION = {"type": "text", "text": "Who walked?"}


@pytest.fixture(scope="module")
def sighted(chat_format: ChatFormat) -> Decoder:
    """A tiny decoder that reads pictures."""
    config = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=64, context=128, inputs=READS, initial_std=0.4)
    return Decoder(config, chat_format.tokenizer.get_vocab_size(), seed=4).eval()


@pytest.fixture(scope="module")
def listening(chat_format: ChatFormat) -> Decoder:
    """A tiny decoder that reads sounds."""
    reads = (TokensConfig(), SoundsConfig(seconds=0.32, mels=20, stack=8))
    config = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=64, context=128, inputs=reads, initial_std=0.4)
    return Decoder(config, chat_format.tokenizer.get_vocab_size(), seed=4).eval()


@pytest.fixture(scope="module")
def client(sighted: Decoder, listening: Decoder, decoder: Decoder, chat_format: ChatFormat) -> Iterator[openai.OpenAI]:
    about = About("sighted", [], 128, 1, None, ("chat", "completions", "pictures"), "folio")
    with MediaOpener() as opener:
        model = OwnModel(sighted.decoding(), chat_format, about, LIMITS, decode=opener)
        ears = About("listening", [], 128, 1, None, ("chat", "completions", "sounds"), "folio")
        hearing = OwnModel(listening.decoding(), chat_format, ears, LIMITS, decode=opener)
        with (
            serving([model, hearing, own_model(decoder, chat_format, "blind", LIMITS)], LIMITS) as address,
            openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=60) as client,
        ):
            yield client


def ask(client: openai.OpenAI, *content: Any, model: str = "sighted", role: Any = "user", **settings: Any) -> Any:
    messages: Any = [{"role": role, "content": list(content)}]
    return client.chat.completions.create(model=model, messages=messages, temperature=0, max_tokens=12, **settings)


def text_of(client: openai.OpenAI, *content: Any, model: str = "sighted") -> str:
    return str(ask(client, *content, model=model).choices[0].message.content)


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
    with pytest.raises(openai.APIStatusError, match="larger than 20000 bytes, its pictures and recordings left out") as long:
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
    assert ["pictures" in model["folio"]["abilities"] for model in listed] == [True, False, False]


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
    def killed(content: bytes, reads: PictureGrid | SoundGrid) -> Picture:
        raise RuntimeError("the parser process exited with status -9")

    about = About("sighted", [], 128, 1, None, ("chat", "pictures"), "folio")
    with serving([OwnModel(sighted.decoding(), chat_format, about, LIMITS, decode=killed)], LIMITS) as address:
        body = {"model": "sighted", "messages": [{"role": "user", "content": [sent(GOOD), QUESTION]}], "max_tokens": 3}
        answer = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=30)
        assert answer.status_code == 503 and "was killed; try again" in answer.json()["error"]["message"]
        body["messages"] = [{"role": "user", "content": "Who?"}]
        assert httpx.post(f"{address}/v1/chat/completions", json=body, timeout=30).status_code == 200


def test_a_model_that_reads_frames_sees_a_moving_picture_in_their_order(chat_format: ChatFormat) -> None:
    reads = (TokensConfig(), PICTURES.model_copy(update={"frames": 3}))
    config = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=64, context=128, inputs=reads, initial_std=0.4)
    watching = Decoder(config, chat_format.tokenizer.get_vocab_size(), seed=4).eval()
    about = About("watching", [], 128, 1, None, ("chat", "pictures"), "folio")
    frames = [Image.new("L", (6, 4), shade) for shade in (0, 90, 180, 250)]
    with MediaOpener() as opener, serving([OwnModel(watching.decoding(), chat_format, about, LIMITS, decode=opener)], LIMITS) as address:

        def reply(*shown: Image.Image) -> str:
            body = {"model": "watching", "messages": [{"role": "user", "content": [sent(gif(*shown), "image/gif"), QUESTION]}]}
            answer = httpx.post(f"{address}/v1/chat/completions", json={**body, "temperature": 0, "max_tokens": 12}, timeout=30)
            return str(answer.json()["choices"][0]["message"]["content"])

        found, backwards = reply(*frames), reply(*frames[::-1])
        told = httpx.post(
            f"{address}/v1/chat/completions",
            json={"model": "watching", "messages": [{"role": "user", "content": [sent(gif(*frames * 70), "image/gif"), QUESTION]}]},
            timeout=30,
        ).json()["error"]["message"]
    moving = Picture("L", 6, 4, b"".join(bytes([shade]) * 24 for shade in (0, 90, 180, 250)), 4)
    assert found == expected(watching, chat_format, f"{moving.placeholder}\nWho walked?", moving) != backwards
    assert "frames after the first 256, 24 frames" in told


def gif(*frames: Image.Image) -> bytes:
    out = io.BytesIO()
    # Pillow joins equal frames, and would take these for differences of one picture.
    frames[0].save(out, "GIF", save_all=True, append_images=list(frames[1:]), disposal=2)
    return out.getvalue()


def test_the_same_file_is_decoded_once(chat_format: ChatFormat, sighted: Decoder) -> None:
    seen: list[bytes] = []

    def decode(content: bytes, reads: PictureGrid | SoundGrid) -> Picture:
        assert reads == PICTURES.grid
        seen.append(content)
        return UPRIGHT

    about = About("sighted", [], 128, 1, None, ("chat", "pictures"), "folio")
    with serving([OwnModel(sighted.decoding(), chat_format, about, LIMITS, decode=decode)], LIMITS) as address:
        for url in (b"one", b"one", b"two"):
            picture = part(f"data:image/png;base64,{base64.b64encode(url).decode()}")
            body = {"model": "sighted", "messages": [{"role": "user", "content": [picture, QUESTION]}], "max_tokens": 3}
            assert httpx.post(f"{address}/v1/chat/completions", json=body, timeout=30).status_code == 200
    assert seen == [b"one", b"two"]


@pytest.mark.parametrize("name", SAME_TONES)
def test_a_recording_is_heard_on_a_line_of_its_own_and_is_the_same_in_every_form(
    client: openai.OpenAI, listening: Decoder, chat_format: ChatFormat, name: str
) -> None:
    samples, _ = soundfile.read(io.BytesIO(TONE), dtype="int16")
    sound = Picture(SOUND, RATE // 5, 1, samples.astype("<i2").tobytes())
    heard = expected(listening, chat_format, f"{sound.placeholder}\nWho walked?", sound)
    assert text_of(client, SAME_TONES[name], QUESTION, model="listening") == heard != expected(listening, chat_format, "\nWho walked?")


@pytest.mark.parametrize("name", HOSTILE_TONES)
def test_what_is_no_recording_is_refused_by_name_and_the_server_answers_on(client: openai.OpenAI, name: str) -> None:
    given, said = HOSTILE_TONES[name]
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, given, QUESTION, model="listening")
    assert said in str(refused.value) and len(str(refused.value)) < 1000
    assert text_of(client, QUESTION, model="listening")


def test_recordings_are_counted_and_models_that_read_none_say_so(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="more than 3 recordings"):
        ask(client, *[played(TONE)] * 4, QUESTION, model="listening")
    with pytest.raises(openai.BadRequestError, match="a part of type input_audio: sighted reads pictures, and no sounds"):
        ask(client, played(TONE), QUESTION)
    with pytest.raises(openai.BadRequestError, match="blind reads no sounds here; ask a model whose abilities in /v1/models name sounds"):
        ask(client, played(TONE), QUESTION, model="blind")
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, QUESTION, played(tone(0.1)), played(b"words"), model="listening")
    assert refused.value.param == "messages.0.content.2.input_audio.data" and refused.value.code == "invalid_audio"
    assert text_of(client, played(TONE + bytes(50_000)), QUESTION, model="listening")  # larger than a request of text may be
