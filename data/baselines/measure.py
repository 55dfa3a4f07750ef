"""All baselines of one packed corpus, on the text, the rows and the questions that the model is measured on.

Metrics: `<baseline>.<split>.bits_per_byte` of ngram, unigram, zstd, zstd_after_train and xz; `<baseline>.<split>.loss` (nats) of the first
two; with `passages` `bm25.<split>.recall_at_1`, `_5` and `_10`; `chance.questions.<set>` of seen and heldout, and of blind and shuffled
where pictures are asked about; `<split>.documents_in_train`, how many documents of a split train holds as well, as where nothing was held
out: there the baselines have read what they predict; `train.rows` and `ngram.rows_counted`.

The share of questions that a guesser answers right, knowing only the choices.

A question lists its choices if it has some: both names of "A or B?", all towns for "Where does X live?". The guesser picks any of
them, unless the seen questions with the same choices have one answer more often than others: then that. A question without choices, such
as how a sentence continues, can't be guessed, unless it states its own `chance`.

Compress a text with general compressors: zstd alone, zstd with the training text as dictionary, and xz alone.

A model has read the training text before it predicts another, so it compares with the compressor that has, too; zstd
and xz alone show how much of the text repeats itself. Documents are joined by a zero byte, so their ends cost something, as a model's do.
"""

from __future__ import annotations

import json
import lzma
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.baselines.config import BaselineConfig
from data.documents.sharding import split_files
from data.documents.stream import Files, merged
from data.searching.index import K1, B, rarity
from data.shards.metadata import ShardMetadata
from data.shards.names import DEPTHS
from data.shards.ngrams import Targets, joined, kneser_ney, read_targets, row_sums, spread
from data.shards.passages import halved_passages
from data.shards.reader import ShardReader

Question = Mapping[str, Any]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the questions of a JSON Lines file. Texts may hold U+2028 and its kin, which end a line for `splitlines`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def chances(questions: Sequence[Question], seen: Sequence[Question]) -> NDArray[np.float64]:
    """Return the probability of guessing each question right; float64 [questions]."""
    answers: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for question in seen:
        answers[_choices(question)][question["answers"][0]] += 1
    return np.array([_chance(question, answers[_choices(question)]) for question in questions])


def _chance(question: Question, given: Counter[str]) -> float:
    choices = _choices(question)
    if not choices:
        return float(question.get("chance", 0.0))
    even = sum(choice in question["answers"] for choice in choices) / len(choices)
    (answer, most), (_, second) = [*given.most_common(2), ("", 0), ("", 0)][:2]
    # An answer that was given once says nothing of how often it is given.
    return float(answer in question["answers"]) if most > max(1, second) else even


def _choices(question: Question) -> tuple[str, ...]:
    return tuple(sorted(question.get("choices", ())))


WINDOW_LOG = 27
"""zstd reaches back 128 MiB: of a longer training text it has read the end."""


def read_text(split: Files) -> bytes:
    """Return the documents of a split's files, by id, as one text."""
    return b"\0".join(str(text).encode() for table in merged(split, ("text",)) for text in table["text"].to_pylist())


def compressed_sizes(text: bytes, train: bytes, level: int) -> dict[str, int]:
    """Return the bytes that each compressor needs for a text."""
    import zstandard

    alone = zstandard.ZstdCompressionParameters.from_level(level, window_log=WINDOW_LOG)
    reaching = zstandard.ZstdCompressionParameters.from_level(level, window_log=WINDOW_LOG, enable_ldm=True)
    read = zstandard.ZstdCompressionDict(train[-(1 << WINDOW_LOG) :], dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return {
        "zstd": len(zstandard.ZstdCompressor(compression_params=alone).compress(text)),
        "zstd_after_train": len(zstandard.ZstdCompressor(dict_data=read, compression_params=reaching).compress(text)),
        "xz": len(lzma.compress(text, preset=9)),
    }


def word_recalls(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict[str, float]:
    """Return which share of first halves finds its second among all by BM25 over tokens, among the nearest 1, 5 and 10; of less than two
    passages nothing. What is as near as a half's own counts as nearer.
    """
    if len(pairs) < 2:
        return {}
    # Only who asks for it depends on the index of passages.

    held = [Counter(second) for _, second in pairs]
    holding = Counter(token for counts in held for token in counts)
    mean = sum(counts.total() for counts in held) / len(held)
    postings: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    for number, counts in enumerate(held):
        long = K1 * (1 - B + B * counts.total() / mean)
        for token, times in counts.items():
            postings[token].append((number, rarity(holding[token], len(held)) * times / (times + long)))
    nearer = []
    for number, (first, _) in enumerate(pairs):
        scores = np.zeros(len(pairs))
        for token in first:
            for other, score in postings.get(token, ()):
                scores[other] += score
        nearer.append(int((scores >= scores[number]).sum()) - 1)
    return {f"recall_at_{depth}": sum(rank < depth for rank in nearer) / len(pairs) for depth in DEPTHS}


Floats = NDArray[np.float64]
SETS = ("seen", "heldout", "blind", "shuffled")  # the last two of pictures alone


@dataclass(frozen=True)
class RowScores:
    """A baseline's result on all rows of a split: nats and targets of each, and the split's own counts."""

    nats: Floats
    targets: Floats
    split: ShardMetadata


@dataclass(frozen=True)
class Baselines:
    """Metrics; scores by row, of `<baseline>.<split>`; the chance of each question, by set."""

    metrics: dict[str, float]
    rows: dict[str, RowScores]
    chances: dict[str, Floats]


def measure_baselines(packed: Path, splits: Sequence[Path], examples: Path, config: BaselineConfig) -> Baselines:
    """Measure everything that the config asks for; splits without rows and sets without questions are left out.

    `splits`: the folders of the shards."""
    reader = ShardReader(packed / "train")
    counted = spread(len(reader), config.most_tokens // reader.metadata.sequence_length)
    train, text = read_targets(reader, counted), read_text(split_files(splits, "train"))
    shared = _documents_in_train(packed / "documents.parquet")
    metrics: dict[str, float] = {"train.rows": float(len(reader)), "ngram.rows_counted": float(len(counted))}
    rows: dict[str, RowScores] = {}
    scored = {split: rows_of for split in config.splits if len(rows_of := ShardReader(packed / split))}
    for name, order in (("ngram", config.order), ("unigram", 1)):
        for split, found in _scores(train, scored, order).items():
            rows[f"{name}.{split}"] = found
            metrics |= {f"{name}.{split}.{metric}": value for metric, value in _predicted(found).items()}
    for split in scored:
        held = read_text(split_files(splits, split))
        for name, size in compressed_sizes(held, text, config.zstd_level).items():
            metrics[f"{name}.{split}.bits_per_byte"] = 8 * size / len(held)
        metrics[f"{split}.documents_in_train"] = float(shared.get(split, 0))
        pairs = halved_passages(scored[split], config.passages) if config.passages else []
        metrics |= {f"bm25.{split}.{name}": value for name, value in word_recalls(pairs).items()}
    seen = read_lines(examples / "questions_seen.jsonl")
    asked = {name: read_lines(path) for name in SETS if (path := examples / f"questions_{name}.jsonl").is_file()}
    guessed = {name: chances(questions, seen) for name, questions in asked.items() if questions}
    metrics |= {f"chance.questions.{name}": float(found.mean()) for name, found in guessed.items()}
    return Baselines(metrics, rows, guessed)


def _scores(train: Targets, scored: Mapping[str, ShardReader], order: int) -> dict[str, RowScores]:
    """Return the scores of each split; the training text is counted once for all."""
    if not scored:
        return {}
    targets = {split: read_targets(reader, np.arange(len(reader))) for split, reader in scored.items()}
    sizes = [reader.metadata.vocab_size for reader in scored.values()]
    beginning = next(iter(scored.values())).metadata.begin
    nats = kneser_ney(train, joined(list(targets.values())), vocab_size=max(sizes), order=order, beginning=beginning)
    parts = np.split(nats, np.cumsum([len(found.at) for found in targets.values()])[:-1])
    return {
        split: RowScores(*row_sums(found, part), scored[split].metadata)
        for (split, found), part in zip(targets.items(), parts, strict=True)
    }


def _predicted(scores: RowScores) -> dict[str, float]:
    """Return the metrics of a split as the model's are computed."""
    loss, split = float(scores.nats.sum() / scores.targets.sum()), scores.split
    if not split.bytes:
        return {"loss": loss}
    return {"loss": loss, "bits_per_byte": loss / math.log(2) * split.targets / split.bytes + split.unknown_bits}


def _documents_in_train(index: Path) -> dict[str, int]:
    """Return how many documents of each split are in train as well, and not just another part of them."""
    import pyarrow.parquet as pq

    table: dict[str, list[Any]] = pq.read_table(index, columns=["id", "bytes", "split"]).to_pydict()
    rows = list(zip(table["id"], table["bytes"], table["split"], strict=True))
    train = {(document, size) for document, size, split in rows if split == "train"}
    found: dict[str, int] = {}
    for document, size, split in rows:
        found[split] = found.get(split, 0) + ((document, size) in train)
    return found
