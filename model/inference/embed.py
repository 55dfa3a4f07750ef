"""Texts to vectors: the mean of the network's last hidden vectors over the tokens of a text, of length 1.

Hidden vectors are those after the last norm. The token that begins a document is read before a text and is not part of the mean. Texts of
like length share a pass, and what a text becomes does not depend on the others, up to rounding. A text longer than the context is read in
pieces; its vector is the mean of theirs by their lengths, of length 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.nn import functional

from model.hardware.transfers import torch_threads
from model.inference.chat_format import ChatFormat
from model.inference.config import EmbedConfig
from model.inference.open_model import open_model
from model.networks.directory import read_config, require_tokenizer

if TYPE_CHECKING:
    from model.networks.network import Network

READ_AT_ONCE = 8192  # tokens in one pass, padding included


class HiddenVectors(Protocol):
    """The interface of an embedding model: a network as it writes, or an encoder.

    context: the longest text; tokens. vocab_size: tokens are below it.
    """

    context: int
    vocab_size: int
    device: torch.device

    def hidden(self, tokens_NT: Tensor, counts: Sequence[int]) -> Tensor:
        """Return x_NTD after the last norm, for texts of `counts` tokens each; what follows them is padding, and means nothing."""


class WholeTexts:
    """The hidden vectors of a network that keeps no state, such as an encoder; padding is a document of its own."""

    def __init__(self, network: Network) -> None:
        self._network, self.context, self.vocab_size = network, network.config.context, network.vocab_size
        self.device = next(network.parameters()).device

    def hidden(self, tokens_NT: Tensor, counts: Sequence[int]) -> Tensor:
        """Return x_NTD after the last norm."""
        columns = {"tokens": tokens_NT}
        if min(counts) < tokens_NT.shape[1]:
            columns["documents"] = (~_within(counts, tokens_NT)).long()
        x_NTD: Tensor = self._network(columns)
        return x_NTD


@torch.inference_mode()
def embed(reader: HiddenVectors, texts: Sequence[Sequence[int]], begin: int | None = None) -> list[list[float]]:
    """Return a vector for each text of tokens, in order. begin: the token that begins documents.

    Raise ValueError, before any work, for a text without tokens of its own, one longer than the context, and a token that is not there.
    """
    for number, ids in enumerate(texts):
        if len(ids) <= _skipped(ids, begin):
            raise ValueError(f"text {number} is empty; give at least one token")
        if len(ids) > reader.context:
            raise ValueError(f"text {number} is {len(ids)} tokens, and this model reads at most {reader.context}; shorten it")
        if (largest := max(ids)) >= reader.vocab_size:
            raise ValueError(f"text {number} holds token {largest}, and this model has tokens 0 to {reader.vocab_size - 1}")
    vectors: dict[int, list[float]] = {}
    for numbers in _passes(texts):
        together = [texts[number] for number in numbers]
        counts = [len(ids) for ids in together]
        longest = max(counts)
        tokens_NT = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in together], device=reader.device)
        x_NTD = reader.hidden(tokens_NT, counts).float()
        skipped_N1 = torch.tensor([[_skipped(ids, begin)] for ids in together], device=reader.device)
        own_NT = _within(counts, tokens_NT) & (torch.arange(longest, device=reader.device) >= skipped_N1)
        # Padding may be anything, not a number too, so it is taken out before the sum. The mean's divisor does not change the direction.
        mean_ND = x_NTD.masked_fill(~own_NT[:, :, None], 0).sum(1)
        vectors |= dict(zip(numbers, functional.normalize(mean_ND, dim=1).tolist(), strict=True))
    return [vectors[number] for number in range(len(texts))]


def _skipped(ids: Sequence[int], begin: int | None) -> int:
    """Return how many tokens at the beginning of a text are not its own."""
    return 1 if begin is not None and ids and ids[0] == begin else 0


def _passes(texts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the numbers of the texts that share a pass, shortest first."""
    together: list[int] = []
    for number in sorted(range(len(texts)), key=lambda number: len(texts[number])):
        if together and (len(together) + 1) * len(texts[number]) > READ_AT_ONCE:
            yield together
            together = []
        together.append(number)
    if together:
        yield together


def _within(counts: Sequence[int], tokens_NT: Tensor) -> Tensor:
    """Return which places hold tokens and not padding, bool [N, T]."""
    counts_N1 = torch.tensor(counts, device=tokens_NT.device)[:, None]
    return torch.arange(tokens_NT.shape[1], device=tokens_NT.device) < counts_N1


class Embedder:
    """A model's folder, opened to make vectors of texts of any length. Raise ModelError for a tokenizer that is not the model's."""

    def __init__(self, model: Path, tokenizer: Path) -> None:
        self._format = ChatFormat(tokenizer)
        require_tokenizer(model, self._format.digest)
        config, network = read_config(model)[0], open_model(model)
        self.reader: HiddenVectors = WholeTexts(network) if "generation" not in config.SUPPORTS else network.decoding().prepared()

    @property
    def context(self) -> int:
        """The longest piece, with the token that begins it."""
        return self.reader.context

    def vectors(self, texts: Sequence[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """Return a vector of length 1 for each text; that of a text without tokens is zero."""
        begin, room = self._format.bos_id, self.context - 1
        pieces: list[list[int]] = []
        owners: list[int] = []
        for number, text in enumerate(texts):
            ids = self._format.encode_text(text)
            for start in range(0, len(ids), room):
                pieces.append([begin, *ids[start : start + room]])
                owners.append(number)
        found = np.array(embed(self.reader, pieces, begin), dtype=np.float32).reshape(len(pieces), -1)
        summed = np.zeros((len(texts), found.shape[1]), dtype=np.float32)
        for owner, piece, vector in zip(owners, pieces, found, strict=True):
            summed[owner] += (len(piece) - 1) * vector
        scaled: np.ndarray[tuple[int, int], np.dtype[np.float32]] = summed / np.maximum(
            np.linalg.norm(summed, axis=1, keepdims=True), np.finfo(np.float32).tiny
        )
        return scaled


def embed_passages(model: Path, tokenizer: Path, passages: Path, output: Path, config: EmbedConfig, *, threads: int) -> dict[str, float]:
    """Write the vectors of the `text` of each row of a Parquet file as fp32 [rows, width], in order; return how many."""
    with torch_threads(threads):
        texts = pq.ParquetFile(passages).read(["text"])["text"].to_pylist()
        vectors = Embedder(model, tokenizer).vectors([f"{config.passage_prefix}{text}" for text in texts])
    output.parent.mkdir(parents=True, exist_ok=True)
    np.save(output, vectors)
    return {"vectors": float(len(vectors)), "width": float(vectors.shape[1])}
