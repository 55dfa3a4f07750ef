"""What can change the bytes of a tokenizer, of packed text and of encoded conversations. Cheap to import."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

Kind = Literal["character", "word", "bpe", "byte_level_bpe", "wordpiece", "unigram"]
# What every vocabulary of a kind holds before anything is learned: the seven special tokens, `<|unk|>`, 256 bytes.
RESERVED: dict[Kind, int] = {"character": 8, "word": 8, "bpe": 7 + 256, "byte_level_bpe": 7 + 256, "wordpiece": 8, "unigram": 8 + 256}
CONVERSATIONS = "conversations"  # what their rows are called where sources are told apart


class TokenizerConfig(BaseModel, frozen=True, extra="forbid"):
    """How the tokenizer is fitted, on the training split alone."""

    kind: Kind = Field(
        "byte_level_bpe",
        description="kind of tokenizer; with byte_level_bpe, bpe and unigram any text comes back from its tokens; character, word and "
        "wordpiece write what their vocabulary lacks as one <|unk|> and so lose it",
    )
    vocab_size: int = Field(
        2048,
        ge=16,
        le=1_000_000,
        description="most tokens, special ones and 256 bytes included; with a sweep the largest size that it may choose; tokens",
    )
    sweep: tuple[int, ...] = Field(
        (), description="smaller sizes to try before vocab_size, rising; each is fitted and measured on text left out; tokens"
    )
    sweep_gain: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="the sweep stops at the size whose next one packs less than this more bytes into a token, for each doubling; fraction",
    )
    min_frequency: int = Field(2, ge=1, description="a character, word or pair counts when seen this often in the sample; occurrences")
    max_token_length: int = Field(
        24, ge=2, le=256, description="longest token that may be learned; bytes with byte_level_bpe, otherwise characters"
    )
    # Pair counts in the trainer are 32-bit: no pair is in a sample of fewer than 2^31 bytes more often than they can count.
    sample_bytes: int = Field(256 * 2**20, ge=1024, le=2**31 - 1, description="most text that the tokenizer is fitted on; bytes")
    seed: int = Field(
        0, ge=0, description="chooses the sample when the training split exceeds sample_bytes, and what a sweep leaves out; integer"
    )

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "sweep_gain": ("sweep",),
        "max_token_length": ("kind=byte_level_bpe", "kind=bpe", "kind=unigram"),
    }

    @model_validator(mode="after")
    def _sizes_fit(self) -> TokenizerConfig:
        least = RESERVED[self.kind]
        for key, size in (("vocab_size", self.vocab_size), *(("sweep", size) for size in self.sweep)):
            if size < least:
                raise ValueError(
                    f"{key}={size} is below the {least} tokens that kind={self.kind} always has; raise it, or choose another kind"
                )
        sizes = (*self.sweep, self.vocab_size)
        if list(sizes) != sorted(set(sizes)):
            raise ValueError(f"sweep={list(self.sweep)} must rise and end below vocab_size={self.vocab_size}, which is tried last")
        return self


class PackConfig(BaseModel, frozen=True, extra="forbid"):
    """How documents become rows of equal length for pretraining."""

    sequence_length: int = Field(128, ge=2, le=65_536, description="targets in a row: the model's context; tokens")
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

    sequence_length: int = Field(128, ge=2, le=65_536, description="targets in a row: the model's context; tokens")
    seed: int = Field(0, ge=0, description="orders conversations before they are packed; integer")
    shard_rows: int = Field(8192, ge=1, description="rows in one shard file; rows")
