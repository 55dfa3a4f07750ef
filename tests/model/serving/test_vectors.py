"""Requests for vectors beside others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from model.inference.chat_format import ChatFormat
from model.serving.schema import EmbeddingRequest
from model.serving.served import ServeLimits
from model.serving.vectors import Vectors


class Held:
    """Gives vectors once it is let go."""

    def __init__(self) -> None:
        self.context, self.vocab_size, self.device = 64, 10_000, torch.device("cpu")
        self.go, self.most, self._at_once = threading.Event(), 0, 0

    def hidden(self, tokens_NT: Tensor, counts: Sequence[int]) -> Tensor:
        """Return ones."""
        self._at_once += 1
        self.most = max(self.most, self._at_once)
        assert self.go.wait(30)
        self._at_once -= 1
        return torch.ones(*tokens_NT.shape, 4)


def test_requests_for_vectors_that_wait_leave_the_server_s_threads_to_others(chat_format: ChatFormat) -> None:
    reader = Held()
    vectors = Vectors(reader, chat_format, "vectors", ServeLimits(waiting=64))

    async def ask() -> list[int]:
        asked = [asyncio.ensure_future(vectors.answer(EmbeddingRequest(model="vectors", input="Ada"))) for _ in range(50)]
        await asyncio.sleep(0.05)
        try:
            assert vectors.load() == (1, 49)
            assert await asyncio.wait_for(asyncio.to_thread(lambda: 7), 10) == 7
        finally:
            reader.go.set()
        return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [200] * 50 and reader.most == 1
