"""Augmentation changes how training text is written in tokens and in which order, never the text, and never validation or test."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.provenance.tables import splits_of
from data.shards.reader import ShardReader
from data.tokens.augmentation import Augmenter, MergeDropout, SegmentSampling, respeller
from data.tokens.config import Augmentation, PackConfig, TokenizerConfig
from data.tokens.encoder import TextEncoder, TokenizerError
from data.tokens.pack import pack
from data.tokens.special import BOS, EOS
from data.tokens.tokenizer import fit_tokenizer
from tests.data.tokens.corpora import conversation, prose, write_lines, write_split

DROPOUT, SAMPLING = Augmentation(merge_dropout=0.3), Augmentation(sampling_power=0.2)
KINDS = {"byte_level_bpe": DROPOUT, "bpe": DROPOUT, "unigram": SAMPLING}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TextEncoder]:
    """A tokenizer of each kind that has more than one spelling, and one that has not."""
    folder = tmp_path_factory.mktemp("fitted")
    train = write_split(folder / "train.parquet", [prose(seed, 20) for seed in range(4)])
    for kind in (*KINDS, "character"):
        fit_tokenizer(train, folder / kind, TokenizerConfig(kind=kind, vocab_size=420))
    return {kind: TextEncoder(folder / kind) for kind in (*KINDS, "character")}


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("splits")
    sizes = {"train": 6, "val": 2, "test": 2}
    return {name: write_split(folder / f"{name}.parquet", [prose(31 * size + n, 6) for n in range(size)]) for name, size in sizes.items()}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=60) | st.text(alphabet="the cat's\n 1815naïve城🙂", max_size=60), seed=st.integers(0, 99))
def test_every_spelling_decodes_to_the_text(fitted: dict[str, TextEncoder], kind: str, text: str, seed: int) -> None:
    encoder = fitted[kind]
    assert encoder.decode(np.array(respeller(encoder.tokenizer, KINDS[kind])(text, Random(seed)), dtype=np.int64)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_spelled_in_several_ways_and_in_more_tokens(fitted: dict[str, TextEncoder], kind: str) -> None:
    encoder, spell = fitted[kind], respeller(fitted[kind].tokenizer, KINDS[kind])
    text = prose(1, 3)
    own = len(next(encoder.encode([text])))
    spellings = {tuple(spell(text, Random(seed))) for seed in range(5)}
    assert len(spellings) == 5 and all(own <= len(spelling) < 4 * own for spelling in spellings)


@pytest.mark.parametrize("kind", ["byte_level_bpe", "bpe"])
@settings(max_examples=30, deadline=None)
@given(text=st.text(alphabet="the cat's\n 1815naïve城🙂", max_size=60))
def test_without_dropout_merges_give_the_tokenizer_s_own_spelling(fitted: dict[str, TextEncoder], kind: str, text: str) -> None:
    tokenizer = fitted[kind].tokenizer
    spell = MergeDropout(json.loads(tokenizer.to_str())["model"], 0.0)
    words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
    assert [index for word in words for index in spell(word, Random(0))] == tokenizer.encode(text, add_special_tokens=False).ids


def test_segmentations_are_drawn_in_proportion_to_their_probability_to_the_power() -> None:
    chances = {"a": 0.2, "b": 0.1, "c": 0.15, "ab": 0.25, "bc": 0.05, "abc": 0.25}
    model = {"vocab": [["<|unk|>", 0.0], *([piece, math.log(chance)] for piece, chance in chances.items())]}
    numbers = {piece: number for number, piece in enumerate(chances, start=1)}
    power = 0.5
    weights = {
        tuple(numbers[piece] for piece in pieces): math.prod(chances[piece] for piece in pieces) ** power
        for pieces in (["a", "b", "c"], ["ab", "c"], ["a", "bc"], ["abc"])
    }
    spell, draws = SegmentSampling(model, power), 8000
    random = Random(4)
    counted = Counter(tuple(spell("abc", random)) for _ in range(draws))
    assert counted.keys() == weights.keys()
    for spelling, weight in weights.items():
        expected = weight / sum(weights.values())
        assert counted[spelling] / draws == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / draws))


def test_a_document_is_written_alike_whatever_stands_beside_it(fitted: dict[str, TextEncoder]) -> None:
    augmenter = Augmenter(Augmentation(merge_dropout=0.3, paragraphs=True, passes=2), fitted["bpe"], seed=5)
    documents = [(f"{number:016x}", prose(number, 5)) for number in range(4)]
    together = [ids.tolist() for ids in augmenter.encode(1, iter(documents))]
    assert [next(augmenter.encode(1, iter([document]))).tolist() for document in documents] == together
    assert [ids.tolist() for ids in augmenter.encode(0, iter(documents))] != together


@pytest.mark.parametrize(
    "augment", [DROPOUT, Augmentation(passes=3), Augmentation(paragraphs=True)], ids=["spelling", "passes", "paragraphs"]
)
def test_validation_and_test_are_never_augmented(
    fitted: dict[str, TextEncoder], splits: dict[str, Path], tmp_path: Path, augment: Augmentation
) -> None:
    tokenizer = fitted["bpe"].directory
    for name, config in (("plain", PackConfig(sequence_length=32)), ("augmented", PackConfig(sequence_length=32, augment=augment))):
        pack(splits, tokenizer, None, tmp_path / name, config)
    for split in ("train", "val", "test"):
        files = [sorted((tmp_path / name / split).iterdir()) for name in ("plain", "augmented")]
        same = [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
        assert same == (split != "train"), split


def test_each_pass_holds_every_document_once_in_its_own_order_and_is_accounted_for(
    fitted: dict[str, TextEncoder], splits: dict[str, Path], tmp_path: Path
) -> None:
    encoder = fitted["bpe"]
    write_lines(tmp_path / "c" / "instructions_train.jsonl", [conversation(f"Who sat {n}?", "The cat.") for n in range(3)])
    config = PackConfig(sequence_length=32, instruction_fraction=0.25, augment=Augmentation(passes=3, merge_dropout=0.2, paragraphs=True))
    metrics = pack(splits, encoder.directory, tmp_path / "c", tmp_path / "out", config)
    assert metrics["train_documents"] == 6
    rows = ShardReader(tmp_path / "out" / "train").rows(range(int(metrics["train_rows"])))
    texts = pq.read_table(splits["train"]).to_pylist()
    # Conversations lie in rows of their own, which begin with the begin token in a row that none of the text continues.
    stream = np.concatenate([row[(0 if n == 0 else 1) :] for n, row in enumerate(rows["tokens"]) if 4 not in row])
    documents = [[int(t) for t in part] for part in np.split(stream, np.flatnonzero(stream == BOS))[1:]]
    decoded = [encoder.decode(np.array([t for t in ids if t not in (BOS, EOS, 0)], dtype=np.int64)) for ids in documents]
    passes = [decoded[start : start + 6] for start in range(0, 18, 6)]
    expected = sorted(sorted(row["text"].split("\n\n")) for row in texts)
    for one in passes:
        assert sorted(sorted(text.split("\n\n")) for text in one) == expected
    assert len({tuple(sorted(text.split("\n\n"))[0] for text in one) for one in passes}) == 3, "each pass has an order of its own"
    with (tmp_path / "out" / "documents.parquet").open("rb") as index:
        first, last = splits_of(index, texts[0]["id"])["train"]
    assert last - first > metrics["train_rows"] / 3, "the index spans all passes"


def test_a_tokenizer_with_one_spelling_is_refused_by_the_setting_s_name(fitted: dict[str, TextEncoder]) -> None:
    with pytest.raises(TokenizerError, match=r"augment\.merge_dropout needs a tokenizer that merges"):
        Augmenter(DROPOUT, fitted["character"], 0)
    with pytest.raises(TokenizerError, match=r"augment\.sampling_power needs a tokenizer of kind unigram"):
        Augmenter(SAMPLING, fitted["bpe"], 0)
