"""The settings of the tokenizer, of packing and of encoding. Cheap to import."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from data.shards.pictures import PATCHES, PictureGrid
from data.shards.sounds import SoundGrid

Kind = Literal["character", "word", "bpe", "byte_level_bpe", "wordpiece", "unigram"]
# The tokens that every vocabulary of a kind has before anything is learned: seven special tokens, `<|unk|>`, 256 bytes.
RESERVED: dict[Kind, int] = {"character": 8, "word": 8, "bpe": 7 + 256, "byte_level_bpe": 7 + 256, "wordpiece": 8, "unigram": 8 + 256}
TooLong = Literal["drop", "shorten"]
CONVERSATIONS = "conversations"  # the source name of conversation rows
SHARE, CHUNKS = "share.json", "chunks.parquet"
"""The share of each shard's training text that is set apart for the tokenizer's sample, and what was set apart of a shard."""
TOKENIZER_FILE, RECORD, FITTED = "tokenizer.json", "sample.parquet", "fitted.json"
"""The tokenizer, what it was fitted on, and how fitting went."""
SHOWN = "shown.json"
"""Beginnings of a shard's documents that the tokenizer's report may show."""


class AllotConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings that may change the share of the training text that is set apart for the tokenizer's sample."""

    sample_bytes: int = Field(description="most text that the tokenizer is fitted on; bytes")


class DrawConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings that may change which chunks of a shard are set apart, once the share is known."""

    seed: int = Field(description="seed of the sample, and of what a sweep holds out; integer")
    sweep: bool = Field(description="whether chunks are held out to compare sizes by; yes or no")


class RestoreConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings that may change the counts over a shard, once the tokenizer is fitted."""

    seed: int = Field(description="seed of which documents the report shows; integer")


class DescribeConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings of the report on how the tokenizer was fitted."""

    kind: Kind = Field(description="kind of tokenizer")


class TokenizerConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The fitting of the tokenizer, on the training split only."""

    kind: Kind = Field(
        "byte_level_bpe",
        description="kind of tokenizer; byte_level_bpe, bpe and unigram can encode any text without loss; character, word and wordpiece "
        "encode what their vocabulary lacks as <|unk|>",
    )
    vocab_size: int = Field(
        2048,
        ge=16,
        le=1_000_000,
        description="largest vocabulary, with special tokens and the 256 bytes; with a sweep, the largest size that it may choose; tokens",
    )
    sweep: tuple[int, ...] = Field(
        (), description="smaller sizes to try before vocab_size, in ascending order; each is fitted, and measured on held-out text; tokens"
    )
    sweep_gain: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="the sweep stops when the next size gains less than this in bytes per token, for each doubling; fraction",
    )
    min_frequency: int = Field(
        2, ge=1, description="least occurrences in the sample for a character, word or pair to be learned; occurrences"
    )
    max_token_length: int = Field(
        24, ge=2, le=256, description="longest token that may be learned; bytes with byte_level_bpe, otherwise characters"
    )
    digits: Literal["together", "apart"] = Field(
        "together",
        description="whether digits of a number may be merged into one token, or each is a token of its own, as Llama has it",
    )
    # The trainer counts pairs in 32 bits, which a sample of fewer than 2^31 bytes can't overflow.
    sample_bytes: int = Field(256 * 2**20, ge=1024, le=2**31 - 1, description="most text that the tokenizer is fitted on; bytes")
    seed: int = Field(
        0,
        ge=0,
        description="seed of the sample, if the training split exceeds sample_bytes, and of what a sweep holds out; integer",
    )

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "sweep_gain": ("sweep",),
        "digits": ("kind=byte_level_bpe",),
        "max_token_length": ("kind=byte_level_bpe", "kind=bpe", "kind=unigram"),
    }

    @property
    def allotting(self) -> AllotConfig:
        """The settings of deciding the share of each shard."""
        return AllotConfig(sample_bytes=self.sample_bytes)

    @property
    def drawing(self) -> DrawConfig:
        """The settings of drawing from a shard."""
        return DrawConfig(seed=self.seed, sweep=bool(self.sweep))

    @property
    def restoring(self) -> RestoreConfig:
        """The settings of counting over a shard."""
        return RestoreConfig(seed=self.seed)

    @property
    def describing(self) -> DescribeConfig:
        """The settings of joining the counts into a report."""
        return DescribeConfig(kind=self.kind)

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
            raise ValueError(f"sweep={list(self.sweep)} must ascend and end below vocab_size={self.vocab_size}, which is tried last")
        return self


class Augmentation(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The variation of the training documents from pass to pass. Validation and test are never augmented."""

    passes: int = Field(
        1, ge=1, le=64, description="times that the training documents are packed, one after the other, each time in another order; count"
    )
    merge_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="BPE dropout: probability that a possible merge is passed over, so that words are spelled in several ways; for "
        "tokenizers of kind byte_level_bpe and bpe; 0: none; fraction",
    )
    sampling_power: float = Field(
        0.0,
        ge=0,
        description="unigram sampling: a word's spelling is drawn in proportion to its probability to this power, small ones being more "
        "diverse; for tokenizers of kind unigram; 0: none, the likeliest spelling",
    )
    paragraphs: bool = Field(False, description="shuffle the paragraphs within each document anew in each pass; yes or no")

    @model_validator(mode="after")
    def _one_way_to_spell(self) -> Augmentation:
        if self.merge_dropout and self.sampling_power:
            raise ValueError(
                f"merge_dropout={self.merge_dropout} is for BPE and sampling_power={self.sampling_power} for unigram; set one to 0"
            )
        return self

    @property
    def respells(self) -> bool:
        """Whether words are spelled at random."""
        return bool(self.merge_dropout or self.sampling_power)

    def tokenizer_problem(self, kind: Kind) -> str:
        """Return which setting a tokenizer of this kind can't follow; empty if it can follow all."""
        for key, value, kinds in (
            ("merge_dropout", self.merge_dropout, ("byte_level_bpe", "bpe")),
            ("sampling_power", self.sampling_power, ("unigram",)),
        ):
            if value and kind not in kinds:
                return f"{key}={value} needs a tokenizer of kind {' or '.join(kinds)}, and tokenizer.kind={kind}; set it to 0"
        return ""


class PackConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The packing of documents into rows of equal length for pretraining."""

    sequence_length: int = Field(128, ge=2, le=65_536, description="targets in a row: the model's context; tokens")
    method: Literal["cut", "best_fit"] = Field(
        "cut", description="cut: join documents and cut them into rows; best_fit: never cut what fits a row, and pad rows"
    )
    by_source: bool = Field(
        False, description="true: each row holds text of one source, as pretrain.mixture needs; false: rows follow the shuffled documents"
    )
    instruction_fraction: float = Field(0.125, ge=0, le=0.9, description="share of training rows that hold conversations; fraction of rows")
    seed: int = Field(0, ge=0, description="seed of the order of documents and conversations, and of augmentation; integer")
    augment: Augmentation = Field(Augmentation(), description="what differs from pass to pass over the training documents; none by default")
    spelling: int = Field(
        0,
        ge=0,
        le=4096,
        description="width of the column `spelling` beside the tokens: hashed character n-grams of each token, for a model with such an "
        "input; a row needs 2 bytes for each of them and each token; 0: no such column; buckets",
    )
    words: bool = Field(False, description="also write which tokens go on a word, which masked pretraining of whole words needs; yes or no")
    pictures: PictureGrid | None = Field(
        None,
        description="how pictures among the words become columns `patches` and `patch_places` beside the tokens; a row needs 2 bytes for "
        "each number of a patch and each token; null: no pictures",
    )
    sounds: SoundGrid | None = Field(
        None, description="the same for sounds, whose patches are log-mel frames; pictures or sounds, not both; null: no sounds"
    )
    shard_rows: int = Field(8192, ge=1, description="rows in one shard file; rows")

    def vector_columns(self) -> dict[str, int]:
        """Return the columns of vectors that rows get beside their tokens, each with its width."""
        spelled = {"spelling": self.spelling} if self.spelling else {}
        return spelled | ({PATCHES: self.grid.patch_size} if self.grid else {})

    @property
    def grid(self) -> PictureGrid | SoundGrid | None:
        """How pictures or sounds become patches; None: there are none."""
        return self.pictures or self.sounds

    @model_validator(mode="after")
    def _pictures_stay_whole(self) -> PackConfig:
        if self.grid is None:
            return self
        which = "sounds" if self.sounds else "pictures"
        if self.pictures and self.sounds:
            raise ValueError("pictures and sounds: rows have one column of patches; keep one of the two")
        shuffled = self.augment.respells or self.augment.paragraphs
        for key, value, way in (("method", self.method, "best_fit"), ("augment", shuffled, False), ("spelling", self.spelling, 0)):
            if value != way:
                raise ValueError(f"{key}={value!r} with {which}: they would be cut, or have no such column; set {key} to {way!r}")
        if self.grid.patches > self.sequence_length - 1:
            raise ValueError(
                f"{which} of {self.grid.patches} patches fit no row of sequence_length={self.sequence_length}; raise it, or "
                f"{'the stack' if self.sounds else 'the patch'}"
            )
        return self


class EncodeConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The packing of conversations and preference pairs into rows for tuning."""

    sequence_length: int = Field(128, ge=2, le=65_536, description="targets in a row: the model's context; tokens")
    too_long: TooLong = Field(
        "drop",
        description="what becomes of a conversation longer than a row. drop: it is left out; shorten: it loses its oldest exchanges, "
        "and is left out if its last one alone is too long. Both are counted, and listed in ledger.jsonl",
    )
    seed: int = Field(0, ge=0, description="seed of the order in which conversations are packed; integer")
    pictures: PictureGrid | None = Field(None, description="how pictures in conversations become columns; as pack.pictures, or null: none")
    sounds: SoundGrid | None = Field(None, description="how sounds in conversations become columns; as pack.sounds, or null: none")
    shard_rows: int = Field(8192, ge=1, description="rows in one shard file; rows")

    @property
    def grid(self) -> PictureGrid | SoundGrid | None:
        """How pictures or sounds become patches; None: there are none."""
        return self.pictures or self.sounds
