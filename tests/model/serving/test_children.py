"""GGUF files behind the same address, computed by real llama.cpp."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import generate
from model.networks.decoder import Decoder
from model.quantization.config import GgufConfig, quantize
from model.serving.child import ChildModel
from model.serving.llama import gguf_file
from model.serving.opening import Offer, open_served
from model.serving.process import Child, ChildError, python
from model.serving.served import About, ServeLimits
from tests.model.serving.running import serving

LIMITS = ServeLimits(rows=2, max_tokens=32)
ASKED: list[Any] = [{"role": "user", "content": "Who walked?"}]


def plain(text: str | None) -> str:
    return (text or "").replace("\ufffd", "")


@pytest.mark.slow
def test_llama_cpp_answers_as_folio_does_and_its_death_is_told(
    decoder: Decoder, chat_format: ChatFormat, model_dir: Path, tokenizer_dir: Path, tmp_path: Path
) -> None:
    pytest.importorskip("xllamacpp")
    quantize(model_dir, tmp_path / "f32", GgufConfig(type="F32"), tokenizer=tokenizer_dir)
    model: Any = open_served(Offer("there", tmp_path / "f32"), LIMITS)
    with serving([model], LIMITS) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        prompt = chat_format.encode_chat(ASKED)
        text = chat_format.decode(list(generate(decoder.decoding(), prompt, SamplingConfig(max_new_tokens=12), chat_format.stop_ids)))
        whole = client.chat.completions.create(model="there", messages=ASKED, temperature=0, max_tokens=12)
        # A character of several tokens that stays incomplete is shown in another way there.
        assert plain(whole.choices[0].message.content) == plain(text) and whole.model == "there"
        chunks = client.chat.completions.create(model="there", messages=ASKED, temperature=0, max_tokens=12, stream=True)
        assert plain("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)) == plain(text)
        with pytest.raises(openai.BadRequestError, match=r"guided_regex is not offered by llama\.cpp"):
            client.chat.completions.create(model="there", messages=ASKED, extra_body={"guided_regex": "a"})
        tool: Any = {"type": "function", "function": {"name": "find"}}
        with pytest.raises(openai.BadRequestError, match=r"tools and their calls are not offered by llama\.cpp"):
            client.chat.completions.create(model="there", messages=ASKED, tools=[tool])
        assert client.chat.completions.create(model="there", messages=ASKED, tools=[tool], tool_choice="none", max_tokens=2).choices
        with pytest.raises(openai.NotFoundError, match=r"computed by llama\.cpp, which gives no embeddings here"):
            client.embeddings.create(model="there", input="Ada")
        os.kill(model._child._process.pid, signal.SIGKILL)
        time.sleep(0.5)
        assert httpx.get(f"{address}/health").status_code == 503
        with pytest.raises(openai.APIStatusError, match=r"llama\.cpp did not answer"):
            client.chat.completions.create(model="there", messages=ASKED)


@contextmanager
def slow(seconds: float, **limits: float) -> Iterator[tuple[ChildModel, str]]:
    """A model of a program that takes this long for a reply, and its address."""
    given = ServeLimits.model_validate({"rows": 2, "waiting": 2, "max_tokens": 32, **limits})
    about = About("slow", [], 64, 1, None, ("chat", "completions"), "test")
    model = ChildModel(Child(python("tests.model.serving.program", "{port}", str(seconds)), "the program"), about, given, {}, {})
    with serving([model], given) as address:
        yield model, address


def test_more_replies_than_a_server_writes_at_once_are_refused_whatever_computes_them() -> None:
    with slow(0.1) as (_, address):
        many = httpx.post(f"{address}/v1/completions", json={"model": "slow", "prompt": ["a"] * 5})
        assert many.status_code == 400 and "n=1 for 5 prompts is more than this server writes at once" in many.text
        assert httpx.post(f"{address}/v1/completions", json={"model": "slow", "prompt": "a", "n": 9}).status_code == 400
        assert httpx.post(f"{address}/v1/completions", json={"model": "slow", "prompt": "a", "max_tokens": 33}).status_code == 400


def test_a_client_of_a_program_that_vanishes_frees_its_place_and_a_reply_that_takes_too_long_is_ended() -> None:
    body = {"model": "slow", "prompt": "a", "n": 4}
    with slow(60, queue_seconds=0.5, reply_seconds=1) as (model, address):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/v1/completions", json=body, timeout=httpx.Timeout(5, read=0.3))
        time.sleep(0.5)
        assert model.load() == (0, 0)
        late = httpx.post(f"{address}/v1/completions", json=body, timeout=20)
        assert late.status_code == 504 and "the program was not finished within 1.5 seconds" in late.json()["error"]["message"]
        streamed = httpx.post(f"{address}/v1/completions", json=body | {"stream": True}, timeout=20).text
        assert streamed.startswith("data: {}") and "was not finished within 1.5 seconds" in streamed and model.load() == (0, 0)


def test_a_program_that_does_not_start_is_named() -> None:
    with pytest.raises(ChildError, match="llama ended with exit code 3"):
        Child([sys.executable, "-c", "raise SystemExit(3)"], "llama")


def test_a_folder_of_several_gguf_files_names_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.gguf").write_bytes(b"GGUF")
    with pytest.raises(ChildError, match=r"holds a\.gguf, b\.gguf; give one"):
        gguf_file(tmp_path)


def test_vllm_that_is_not_installed_is_said_to_be(model_dir: Path) -> None:
    with pytest.raises(ChildError, match="vLLM is not installed"):
        open_served(Offer("x", model_dir), LIMITS, backend="vllm")
