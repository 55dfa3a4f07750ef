"""Shared fixtures: a tokenizer and packed text as the pipeline makes them, and tiny random models."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from data.tokens.config import PackConfig, TokenizerConfig
from data.tokens.pack import pack
from data.tokens.tokenizer import fit_tokenizer
from model.inference.chat_format import ChatFormat
from model.networks.config import DecoderConfig
from model.networks.decoder import Decoder
from model.networks.directory import save_model

CONTEXT = 64
NAMES = ("Ada", "Bruno", "Clara", "Dorian")
PLACES = ("Avel", "Brin", "Corve", "Dunmere")


def _book(number: int) -> str:
    sentences = [
        f"{NAMES[(number + n) % 4]} walked from {PLACES[n % 4]} to {PLACES[(n * n + number) % 4]} on day {n}, café au lait in hand."
        for n in range(30)
    ]
    return " ".join(sentences)


def write_split(path: Path, numbers: range) -> Path:
    ids = [f"{number:016x}" for number in numbers]
    columns = {"id": ids, "title": ids, "source": ["test"] * len(ids), "text": [_book(n) for n in numbers]}
    pq.write_table(pa.table({**columns, "metadata": ["{}"] * len(ids)}), path)
    return path


@pytest.fixture(scope="session")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two splits of small books."""
    folder = tmp_path_factory.mktemp("splits")
    return {
        "train": write_split(folder / "train.parquet", range(6)),
        "val": write_split(folder / "val.parquet", range(6, 8)),
    }


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory, splits: dict[str, Path]) -> Path:
    """A byte-level BPE tokenizer with the chat format."""
    folder = tmp_path_factory.mktemp("tokenizer")
    fit_tokenizer(splits["train"], folder, TokenizerConfig(vocab_size=320))
    return folder


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory, splits: dict[str, Path], tokenizer_dir: Path) -> Path:
    """Shards `train` and `val`."""
    folder = tmp_path_factory.mktemp("packed")
    pack(splits, tokenizer_dir, None, folder, PackConfig(sequence_length=CONTEXT))
    return folder


@pytest.fixture(scope="session")
def chat_format(tokenizer_dir: Path) -> ChatFormat:
    """The tokenizer, opened for chat."""
    return ChatFormat(tokenizer_dir)


@pytest.fixture(scope="session")
def decoder(chat_format: ChatFormat) -> Decoder:
    """A tiny random model whose logits are far apart, so greedy choices are clear. Shared by all tests: do not modify it."""
    return random_decoder(chat_format.tokenizer.get_vocab_size())


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory, decoder: Decoder) -> Path:
    """The tiny model as a directory."""
    folder = tmp_path_factory.mktemp("model")
    save_model(decoder, folder)
    return folder


def random_decoder(vocab_size: int, *, tied: bool = True, seed: int = 0) -> Decoder:
    """Return a two-layer decoder with grouped-query attention and larger weights than training starts from."""
    config = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=64, context=CONTEXT, tied_embeddings=tied, initial_std=0.4)
    decoder = Decoder(config, vocab_size, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.dim() == 1:
                parameter.uniform_(0.5, 1.5, generator=generator)
    return decoder
