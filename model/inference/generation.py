"""Replies to one prompt, token by token, and to many at once.

Greedy output is a function of model and prompt; sampled output also of the seed. In a batch each prompt gets the same reply as alone, up to
rounding where two logits are nearly equal. Cost: one pass over the prompts, then one over a single token of each reply for each token
written; as replies end, waiting prompts take their rows.

Requests written to their end: on a CPU in two streams, each with its own rows and half of the threads.

A step of a small model is as much Python as arithmetic, which two threads within one step do not share. Two streams do: while one runs
Python, the other computes. On two cores they take about two thirds of the time of one.

Guarantee: which requests share a stream follows from them and from `rows` alone, so no bit of a reply depends on the number of threads.
Cost: two streams on one thread write one after the other, about 5 % slower than one.

Sample texts from a model, each continuing a given beginning of a document.

Each text depends only on the model, its beginning, the settings, the seed and its number among the samples of that beginning: not on
other texts, their order, or the number of threads. That is why texts are generated one at a time on one thread: other batches or threads
round differently, and so may draw other tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import NamedTuple

import torch

from model.hardware.transfers import torch_threads
from model.inference.batch import Batch
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.open_model import open_model
from model.inference.request import Request
from model.networks.decoding import DecodingNetwork
from model.networks.directory import require_tokenizer

LEAST = 16  # requests and rows that a stream is worth


def finish(network: DecodingNetwork, requests: Sequence[Request], rows: int) -> None:
    """Write all replies, at most `rows` at once. Raise ValueError for none."""
    if rows < 1:
        raise ValueError(f"batch={rows}: no text could be written; give 1 or more")
    # Short prompts come first, so those read together have similar lengths.
    waiting = sorted(requests, key=lambda request: len(request.prompt))
    if network.device.type != "cpu" or torch.is_autocast_enabled("cpu") or min(len(waiting), rows) < 2 * LEAST:
        _write(network, waiting, rows, Event())
        return
    streams, rows, stopped, threads = (waiting[::2], waiting[1::2]), rows // 2, Event(), torch.get_num_threads()
    if threads == 1:
        for stream in streams:
            _write(network, stream, rows, stopped)
        return
    network.prepared()  # while nothing else uses it

    def write(stream: Sequence[Request]) -> None:
        try:
            with torch_threads(threads // 2):  # every thread has a setting of its own
                _write(network, stream, rows, stopped)
        except BaseException:
            stopped.set()
            raise

    with torch_threads(threads // 2), ThreadPoolExecutor(1, "stream") as pool:
        other = pool.submit(write, streams[1])
        write(streams[0])
        other.result()


def _write(network: DecodingNetwork, requests: Sequence[Request], rows: int, stopped: Event) -> None:
    batch, waiting = Batch(network), list(reversed(requests))
    while (waiting or batch.requests) and not stopped.is_set():
        free = rows - len(batch.requests)
        # Read prompts in batches: a pass for each would cost more than rows that stay empty for a while.
        if waiting and (not batch.requests or free >= max(1, rows // 4)):
            batch.join([waiting.pop() for _ in range(min(free, len(waiting)))])
        if batch.requests:
            batch.step()


class Completion(NamedTuple):
    """A sampled reply: its tokens, a stop token included, and the log-probability in nats of each when it was drawn.

    `ended`: the last one is a stop token.
    """

    tokens: list[int]
    log_probabilities: list[float]
    ended: bool


def generate(
    network: DecodingNetwork, prompt_ids: Sequence[int], config: SamplingConfig, stop_ids: Collection[int] = (), seed: int = 0
) -> Generator[int, None, None]:
    """Yield up to `config.max_new_tokens` tokens after `prompt_ids`, each once it is chosen.

    Generation ends before a stop token, or when the context is full. Raise ValueError, at the call, for a prompt that is empty or fills
    the context.
    """
    return _tokens(network, request_for(network, prompt_ids, config, frozenset(stop_ids), seed))


def generate_batch(
    network: DecodingNetwork,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
    batch: int = 128,
) -> list[list[int]]:
    """Return the greedy continuation of each prompt, in order, without stop tokens; `batch` is the most rows at once.

    Raise ValueError, before any work, for a prompt that is empty or fills the context.
    """
    config, stops = SamplingConfig(max_new_tokens=max_new_tokens), frozenset(stop_ids)
    requests = [request_for(network, prompt, config, stops, 0) for prompt in prompts]
    finish(network, requests, batch)
    return [request.tokens[:-1] if request.ended else request.tokens for request in requests]


def sample_batch(
    network: DecodingNetwork,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    config: SamplingConfig,
    stop_ids: Collection[int] = (),
    batch: int = 128,
) -> list[Completion]:
    """Return a sampled completion of each prompt, in order; each depends on its own prompt and seed alone, up to rounding.

    Raise ValueError as `generate_batch` does, and for logits that are not numbers.
    """
    stops = frozenset(stop_ids)
    requests = [request_for(network, prompt, config, stops, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
    finish(network, requests, batch)
    return [Completion(request.tokens, request.log_probabilities, request.ended) for request in requests]


def request_for(network: DecodingNetwork, prompt: Sequence[int], config: SamplingConfig, stops: frozenset[int], seed: int) -> Request:
    """Return a request that the network can fulfil. Raise ValueError, saying why, if it can't."""
    context = network.context
    if not 0 < len(prompt) < context:
        raise ValueError(
            f"a prompt of {len(prompt)} tokens cannot be continued: this model's context is {context} tokens; "
            f"give between 1 and {context - 1}"
        )
    unknown = [token for token, _ in config.logit_bias if token >= network.vocab_size]
    if unknown:
        raise ValueError(f"logit_bias names token {unknown[0]}, and this model has tokens 0 to {network.vocab_size - 1}")
    return Request(list(prompt), config, min(config.max_new_tokens, context - len(prompt)), stops, seed)


def _tokens(network: DecodingNetwork, request: Request) -> Generator[int, None, None]:
    batch = Batch(network)
    batch.join([request])
    while not request.ended:
        yield request.tokens[-1]
        if request.finished:
            return
        batch.step()


def sample_texts(directory: Path, beginnings: Iterable[str], samples: int, config: SamplingConfig, seed: int = 0) -> Iterator[str]:
    """Yield `samples` texts for each beginning, in order; each text includes its beginning.

    A text ends where the model ends it, after `max_new_tokens`, or when the context is full; an incomplete character at its end is cut
    off. Raise ValueError, with its number, for a beginning that fills the context.
    """
    decoder, chat_format = open_model(directory).decoding(), ChatFormat(directory)
    require_tokenizer(directory, chat_format.digest)
    with torch_threads(1):
        for number, beginning in enumerate(beginnings, start=1):
            prompt = chat_format.encode_document(beginning)
            for sample in range(samples):
                try:
                    tokens = generate(decoder, prompt, config, chat_format.stop_ids, _seed(seed, beginning, sample))
                except ValueError as error:
                    raise ValueError(f"beginning {number} ({beginning[:40]!r}): {error}") from error
                yield beginning + chat_format.decode_behind(prompt, list(tokens)).rstrip("\ufffd")


def _seed(seed: int, beginning: str, sample: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{sample}:{beginning}".encode()).digest()[:8]) >> 1
