"""Vectors of how tokens are spelled: against fastText's definition, and as a column of packed rows."""

from __future__ import annotations

import itertools
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from data.shards.reader import ShardReader
from data.shards.schema import WORDS, ShardError
from data.tokens.config import PackConfig, TokenizerConfig
from data.tokens.encoder import CONTINUES, GOES_ON, TextEncoder, word_joins
from data.tokens.pack import byte_ngrams, fnv1a, pack, spelling_table
from data.tokens.special import SPECIAL_TOKENS
from data.tokens.tokenizer import fit_tokenizer
from tests.data.tokens.corpora import conversation, prose, write_lines, write_split

KINDS = ("byte_level_bpe", "bpe", "unigram", "wordpiece", "word", "character")


def test_n_grams_are_those_of_the_paper_s_example() -> None:
    grams = byte_ngrams(b"<where>")
    assert [gram for gram in grams if len(gram) == 3] == [b"<wh", b"whe", b"her", b"ere", b"re>"]
    assert {len(gram) for gram in grams} == {3, 4, 5, 6} and len(grams) == 5 + 4 + 3 + 2


@pytest.mark.parametrize(("text", "hashed"), [(b"", 0x811C9DC5), (b"a", 0xE40C292C), (b"foobar", 0xBF9CF968)])
def test_the_hash_is_fnv_1a_by_its_published_values(text: bytes, hashed: int) -> None:
    assert fnv1a(text) == hashed


def test_a_vector_is_the_normalized_count_of_n_grams_in_each_bucket() -> None:
    table = spelling_table([b"aaaa", b""], 5)
    counts = [0] * 5
    for gram in (b"<aa", b"aaa", b"aaa", b"aa>", b"<aaa", b"aaaa", b"aaa>", b"<aaaa", b"aaaa>", b"<aaaa>"):
        counts[fnv1a(gram) % 5] += 1
    assert np.allclose(table[0], np.array(counts) / np.linalg.norm(counts), atol=1e-3)
    assert table.dtype == np.float16 and not table[1].any()


def test_tokens_spelled_alike_are_nearer_than_others() -> None:
    walk, walked, river = spelling_table([b" walking", b" walked", b" river"], 64).astype(np.float32)
    assert walk @ walked > 2 * (walk @ river)


@pytest.mark.parametrize("kind", KINDS)
def test_spellings_of_a_text_s_tokens_join_to_the_text_with_every_kind_of_tokenizer(kind: str, tmp_path: Path) -> None:
    text = prose(3, 8) + " naïve café."
    fit_tokenizer(
        write_split(tmp_path / "train.parquet", [text] * 3),
        tmp_path / "tokenizer",
        TokenizerConfig(kind=kind, vocab_size=600, min_frequency=1),
    )
    encoder = TextEncoder(tmp_path / "tokenizer")
    (ids,) = encoder.encode([text])
    assert b"".join(encoder.spellings[token] for token in ids) == text.encode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_goes_on_a_word_where_letters_or_digits_meet_with_every_kind_of_tokenizer(kind: str, tmp_path: Path) -> None:
    accented = "\u00e9" if kind == "wordpiece" else "e\u0301"  # WordPiece's words end before a combining accent
    long = " ".join(
        f"{first}{last}" for first in ("wander", "whisper", "gather", "mend") for last in ("er", "ed", "ing", "s", "ville", "less")
    )
    text = f"{prose(3, 4)} {long} café, 12 o'clock-{accented}lan; x_y".replace("🙂", "?")
    fit_tokenizer(
        write_split(tmp_path / "train.parquet", [text] * 3),
        tmp_path / "tokenizer",
        TokenizerConfig(kind=kind, vocab_size=600 if kind == "word" else 300, min_frequency=1),
    )
    encoder = TextEncoder(tmp_path / "tokenizer")
    (ids,) = encoder.encode([text])
    flags, at, goes_on = word_joins(encoder.tokenizer, encoder.spellings), 0, 0
    letters = [character.isalnum() or unicodedata.combining(character) > 0 for character in text for _ in character.encode()]
    for before, token in itertools.pairwise(ids.tolist()):
        at += len(encoder.spellings[before])
        if encoder.spellings[before] and encoder.spellings[token]:
            found = bool(flags[before] & GOES_ON and flags[token] & CONTINUES)
            assert found == (letters[at - 1] and letters[at]), (encoder.spellings[before], encoder.spellings[token])
            goes_on += found
    assert (kind in ("word", "wordpiece") or goes_on > 20) and not flags[: len(SPECIAL_TOKENS)].any()
    rests = [
        encoder.tokenizer.token_to_id(token) for token in encoder.tokenizer.get_vocab() if token.startswith("##") and token[2:].isalpha()
    ]
    assert (len(rests) > 20) == (kind == "wordpiece") and all(flags[token] & CONTINUES for token in rests)


def test_words_are_a_table_of_the_shards_and_change_no_row(packed: Path, tokenizer: Path, tmp_path: Path) -> None:
    config = PackConfig(sequence_length=32, instruction_fraction=0.2, shard_rows=8, spelling=24, words=True)
    pack({"train": tmp_path / "train.parquet"}, tokenizer, tmp_path / "conversations.jsonl", tmp_path / "words", config)
    reader, encoder = ShardReader(tmp_path / "words" / "train"), TextEncoder(tokenizer)
    reader.verify()
    assert np.array_equal(reader.table(WORDS), word_joins(encoder.tokenizer, encoder.spellings)) and not ShardReader(packed).has_table(
        WORDS
    )
    for file in ("00000.arrow", "spelling.arrow"):
        assert (tmp_path / "words" / "train" / file).read_bytes() == (packed / file).read_bytes()


@pytest.fixture
def packed(tokenizer: Path, tmp_path: Path) -> Path:
    """Rows of text and conversations with a column of 24 buckets, in more than one file."""
    split = write_split(tmp_path / "train.parquet", [prose(n, 5) for n in range(6)])
    mixed = write_lines(tmp_path / "conversations.jsonl", [conversation(f"Who sat {n}?", "The cat.") for n in range(3)])
    config = PackConfig(sequence_length=32, instruction_fraction=0.2, shard_rows=8, spelling=24)
    pack({"train": split}, tokenizer, mixed, tmp_path / "out", config)
    return tmp_path / "out" / "train"


def test_packed_rows_hold_the_vector_of_every_token_and_the_shards_the_table_that_it_follows_from(
    packed: Path, encoder: TextEncoder
) -> None:
    reader = ShardReader(packed)
    reader.verify()
    assert len(reader.metadata.files) > 1 and str(reader.columns["spelling"]) == "spelling (vectors, float16 [33, 24] a row)"
    rows = reader.rows(np.arange(len(reader)))
    table = reader.table("spelling")
    assert table.shape == (encoder.vocab_size, 24) and table.dtype == np.float32
    assert np.array_equal(table, spelling_table(encoder.spellings, 24))
    assert np.array_equal(rows["spelling"], table[rows["tokens"]])


def test_the_column_changes_no_other(packed: Path, tokenizer: Path, tmp_path: Path) -> None:
    plain = PackConfig(sequence_length=32, instruction_fraction=0.2, shard_rows=8)
    pack({"train": tmp_path / "train.parquet"}, tokenizer, tmp_path / "conversations.jsonl", tmp_path / "plain", plain)
    reader, other = ShardReader(packed), ShardReader(tmp_path / "plain" / "train")
    everything, same = reader.rows(np.arange(len(reader))), other.rows(np.arange(len(other)))
    assert everything.keys() - same.keys() == {"spelling"}
    assert all(np.array_equal(everything[name], values) for name, values in same.items())
    with pytest.raises(ShardError, match="no table of 'spelling'"):
        other.table("spelling")
    with pytest.raises(ShardError, match="no column 'spelling'; its pretrain rows have tokens, document, loss"):
        other.column("spelling")
