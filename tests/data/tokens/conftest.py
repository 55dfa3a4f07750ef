"""A small corpus and its tokenizer, made once for all tests of tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.tokens.config import TokenizerConfig
from data.tokens.encoder import TextEncoder
from data.tokens.tokenizer import fit_tokenizer
from tests.data.tokens.corpora import prose, write_split


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training split of 20 texts; one of them quotes special tokens."""
    texts = [prose(seed, 12) for seed in range(19)] + ["He wrote <|end|> and <|bos|> on the wall."]
    return write_split(tmp_path_factory.mktemp("corpus") / "train.parquet", texts)


@pytest.fixture(scope="session")
def tokenizer(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer directory fitted on the corpus."""
    directory = tmp_path_factory.mktemp("tokenizer")
    fit_tokenizer(corpus, directory, TokenizerConfig(vocab_size=400))
    return directory


@pytest.fixture(scope="session")
def encoder(tokenizer: Path) -> TextEncoder:
    """The tokenizer, loaded."""
    return TextEncoder(tokenizer)
