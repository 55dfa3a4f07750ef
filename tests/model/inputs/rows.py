"""Packed rows with a column of vectors that follows from their tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from data.shards.writer import ShardWriter
from model.inputs.config import TokensConfig, VectorsConfig
from model.networks.config import DecoderConfig
from tests.model.jobs import CONTEXT, DIGEST, SHAPE, VOCABULARY

SIZE = 6
READS = (TokensConfig(), VectorsConfig(column="spelling", size=SIZE))
WITH_VECTORS: DecoderConfig = SHAPE.model_copy(update={"inputs": READS})
TABLE = np.random.default_rng(7).normal(size=(VOCABULARY, SIZE)).astype(np.float16)


def write_vector_rows(directory: Path, columns: dict[str, np.ndarray[Any, Any]], *, column: bool = True, table: bool = True) -> Path:
    """Write rows of text with the column `spelling`, in two files, and the table that it follows from; or without either."""
    writer = ShardWriter(directory, 30)
    writer.add({**columns, "spelling": TABLE[columns["tokens"]]} if column else columns)
    tables = {"spelling": TABLE} if table else {}
    writer.close("pretrain", sequence_length=CONTEXT, tokenizer_digest=DIGEST, vocab_size=VOCABULARY, tables=tables)
    return directory
