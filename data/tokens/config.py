"""What can change the bytes of a tokenizer, of packed text and of encoded conversations. Cheap to import."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

SMALLEST_VOCABULARY = 7 + 256  # the special tokens and one token for each byte


class TokenizerConfig(BaseModel, frozen=True, extra="forbid"):
    """How the tokenizer is fitted, on the training split alone."""

    kind: Literal["byte_level_bpe"] = Field("byte_level_bpe", description="kind of tokenizer; any text round-trips")
    vocab_size: int = Field(
        2048,
        ge=SMALLEST_VOCABULARY,
        le=1_000_000,
        description="most tokens, special ones and 256 bytes included; tokens",
    )
    min_frequency: int = Field(2, ge=1, description="a pair is merged when seen this often in the sample; occurrences")
    max_token_bytes: int = Field(24, ge=2, le=256, description="longest token that merging may make; bytes")
    # Pair counts in the trainer are 32-bit on some versions: a sample below 2^31 bytes cannot overflow them.
    sample_bytes: int = Field(256 * 2**20, ge=1024, le=2**31 - 1, description="most text that the tokenizer is fitted on; bytes")
    seed: int = Field(0, ge=0, description="chooses the sample when the training split exceeds sample_bytes; integer")


class PackConfig(BaseModel, frozen=True, extra="forbid"):
    """How documents become rows of equal length for pretraining."""

    sequence_length: int = Field(256, ge=2, le=65_536, description="targets in a row: the model's context; tokens")
    method: Literal["cut", "best_fit"] = Field(
        "cut", description="cut: documents are joined and cut into rows; best_fit: what fits a row is never cut, and rows are padded"
    )
    by_source: bool = Field(
        False, description="a row holds text of one source alone, as pretrain.mixture needs it; false: rows follow the shuffled documents"
    )
    instruction_fraction: float = Field(
        0.125, ge=0, le=0.9, description="part of the training rows that hold conversations; fraction of rows"
    )
    seed: int = Field(0, ge=0, description="orders documents and conversations; integer")
    shard_rows: int = Field(8192, ge=1, description="rows in one shard file; rows")


class EncodeConfig(BaseModel, frozen=True, extra="forbid"):
    """How conversations and preference pairs become rows for tuning."""

    sequence_length: int = Field(256, ge=2, le=65_536, description="targets in a row: the model's context; tokens")
    seed: int = Field(0, ge=0, description="orders conversations before they are packed; integer")
    shard_rows: int = Field(8192, ge=1, description="rows in one shard file; rows")
