"""Joins a fitted tokenizer and the counts of all shards into a directory that Hugging Face can load.

Only the training split is read, to fit (`kinds.py`) and to verify the round trip, shard by shard (`restore`). What decoding restores, by
kind:
- byte_level_bpe, bpe, unigram: every text, byte for byte (what their vocabulary lacks is encoded as its bytes).
- character, wordpiece, word: every text whose characters, pieces or words are in the vocabulary; the rest becomes `<|unk|>` and is lost.
  `unknown_rate` is its share of the tokens, `lost_share` of the bytes.
This is verified on the whole training split each time: a text that should be restored and isn't raises TokenizerError.

Files: tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja; report.json, measurements on the split;
and sample.parquet, the record of the sample.

Makes report.json of a tokenizer from the counts over the training split: figures, longest tokens, sizes tried, texts cut into tokens.

Equal counts give equal reports.

Verify that a tokenizer restores a shard of the training split, and count how it encodes it; join the counts of all shards.

Every chunk of every document is encoded and decoded. A chunk without `<|unk|>` must be restored byte for byte; one with it must have as
many bytes as its known tokens. Chunks that fail are counted and a document is named; joining the shards raises for them.
Equal texts give equal files. Costs one pass over the shard; memory holds a batch of chunks, and a number for each token.

Counts of how a tokenizer encodes texts: those of a shard, as files, and those of all shards, which are their sums.

Files: counts.json (the tallies by source, and what is not restored), uses.npy (uses of each token) and shown.json (beginnings
of documents that the report may show). Any division into shards gives the same sums and the same beginnings.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.documents.stream import Files
from data.tokens.config import FITTED, RECORD, SHOWN, TOKENIZER_FILE, DescribeConfig, RestoreConfig, TokenizerConfig
from data.tokens.documents import read_documents, shuffle_key
from data.tokens.encoder import TextEncoder, TokenizerError, batches
from data.tokens.kinds import fit
from data.tokens.special import SPECIAL_TOKENS, write_hugging_face_files, write_json

COUNTS, USES = "counts.json", "uses.npy"
SAMPLES = 3


@dataclass
class Tally:
    """Counts over some texts. `words` are runs of characters between white space."""

    bytes: int = 0
    words: int = 0
    tokens: int = 0
    unknown: int = 0
    unknown_bytes: int = 0

    def add(self, other: Tally) -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)

    def figures(self) -> dict[str, float]:
        """Return the counts and figures derived from them: bytes per token (without lost ones), tokens a word (fertility), the share of
        unknown tokens, and the share of lost bytes."""
        return asdict(self) | {
            "bytes_per_token": (self.bytes - self.unknown_bytes) / self.tokens if self.tokens else 0.0,
            "fertility": self.tokens / self.words if self.words else 0.0,
            "unknown_rate": self.unknown / self.tokens if self.tokens else 0.0,
            "lost_share": self.unknown_bytes / self.bytes if self.bytes else 0.0,
        }


class Beginning(NamedTuple):
    """The beginning of a document. Those with the lowest keys are shown."""

    key: int
    id: str
    source: str
    text: str


@dataclass
class Counts:
    """Counts over texts and by source, and uses of each token.

    `failures`: how many chunks are not restored; `failed`: the lowest id of a document with such a chunk, "" if there is none.
    `beginnings`: at most SAMPLES, by key."""

    uses: NDArray[np.int64]
    whole: Tally = field(default_factory=Tally)
    sources: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    failures: int = 0
    failed: str = ""
    beginnings: list[Beginning] = field(default_factory=list)

    def count(self, source: str, tally: Tally) -> None:
        """Add texts of a source."""
        self.whole.add(tally)
        self.sources[source].add(tally)

    def fail(self, identity: str, chunks: int = 1) -> None:
        """Add chunks of a document that are not restored."""
        self.failures += chunks
        self.failed = min(self.failed or identity, identity)

    def show(self, *beginnings: Beginning) -> None:
        """Offer beginnings to be shown."""
        self.beginnings = sorted([*self.beginnings, *beginnings])[:SAMPLES]

    def add(self, other: Counts) -> None:
        """Add the counts of other texts."""
        self.uses += other.uses
        for source, tally in other.sources.items():
            self.count(source, tally)
        if other.failures:
            self.fail(other.failed, other.failures)
        self.show(*other.beginnings)

    def save(self, output: Path) -> None:
        """Write the files into the folder `output`."""
        output.mkdir(parents=True, exist_ok=True)
        sources = {name: asdict(tally) for name, tally in sorted(self.sources.items())}
        write_json(output / COUNTS, {"sources": sources, "failures": self.failures, "failed": self.failed})
        np.save(output / USES, self.uses)
        write_json(output / SHOWN, [beginning._asdict() for beginning in self.beginnings])

    @classmethod
    def load(cls, folder: Path) -> Counts:
        """Read what `save` wrote."""
        counts = cls(np.load(folder / USES, allow_pickle=False))
        content = json.loads((folder / COUNTS).read_text(encoding="utf-8"))
        for source, tally in content["sources"].items():
            counts.count(source, Tally(**tally))
        counts.failures, counts.failed = content["failures"], content["failed"]
        counts.show(*(Beginning(**one) for one in json.loads((folder / SHOWN).read_text(encoding="utf-8"))))
        return counts

    @classmethod
    def joined(cls, folders: Iterable[Path], vocab_size: int) -> Counts:
        """Return the sums of what is in some folders."""
        counts = cls(np.zeros(vocab_size, dtype=np.int64))
        for folder in folders:
            counts.add(cls.load(folder))
        return counts


SAMPLE_CHARACTERS = 900


class _Owner(NamedTuple):
    """The document that a chunk belongs to."""

    id: str
    source: str


def restore(train: Files, fitted: Path, output: Path, config: RestoreConfig) -> dict[str, float]:
    """Write the counts over a shard's training text into `output`.

    `fitted`: tokenizer.json. Return train_bytes, tokens and round_trip_errors, the number of chunks that fail."""
    counts = measure(TextEncoder(fitted.parent), train, config.seed)
    counts.save(output)
    whole = counts.whole
    return {"train_bytes": float(whole.bytes), "tokens": float(whole.tokens), "round_trip_errors": float(counts.failures)}


def measure(encoder: TextEncoder, train: Files, seed: int) -> Counts:
    """Encode, decode and count every chunk."""
    counts = Counts(np.zeros(encoder.vocab_size, dtype=np.int64))
    for group in batches(_texts(train, seed, counts)):
        encodings = encoder.tokenizer.encode_batch_fast([text for _, text in group], add_special_tokens=False)
        lists = [encoding.ids for encoding in encodings]
        back = encoder.tokenizer.decode_batch(lists, skip_special_tokens=True)  # would drop a special token, if there were one
        for (owner, text), ids, decoded in zip(group, lists, back, strict=True):
            used = np.bincount(np.array(ids, dtype=np.int64), minlength=encoder.vocab_size)
            unknown = int(used[encoder.unknown]) if encoder.unknown is not None else 0
            size, known_bytes = len(text.encode()), int(used @ encoder.token_bytes)
            counts.count(owner.source, Tally(size, len(text.split()), len(ids), unknown, size - known_bytes))
            counts.uses += used
            restored = len(decoded.encode()) == known_bytes if unknown else decoded == text
            if not restored:
                counts.fail(owner.id)
    return counts


def _texts(train: Files, seed: int, counts: Counts) -> Iterator[tuple[_Owner, str]]:
    """Yield each document's text if it has any; offer every document's beginning to be shown."""
    for document in read_documents(train):
        key = shuffle_key(seed, "shown", document.id)
        counts.show(Beginning(key, document.id, document.source, document.text[:SAMPLE_CHARACTERS]))
        if document.text:
            yield _Owner(document.id, document.source), document.text


LONGEST = 24


def make_report(encoder: TextEncoder, counts: Counts, kind: str, sweep: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of report.json."""
    sizes, used = encoder.token_bytes, counts.uses > 0
    named = {index: token for token, index in encoder.tokenizer.get_vocab(with_added_tokens=True).items()}
    longest = sorted((index for index in named if sizes[index]), key=lambda index: (-int(sizes[index]), index))[:LONGEST]
    learned = np.array([index for index in range(encoder.vocab_size) if index >= len(SPECIAL_TOKENS) and index != encoder.unknown])
    return {
        "kind": kind,
        "vocab_size": encoder.vocab_size,
        "used_share": float(used[learned].mean()) if len(learned) else 0.0,
        "whole": counts.whole.figures(),
        "sources": {name: tally.figures() for name, tally in sorted(counts.sources.items())},
        "longest": [{"id": i, "text": encoder.decode(np.array([i])), "bytes": int(sizes[i]), "uses": int(counts.uses[i])} for i in longest],
        "sweep": sweep,
        "samples": [_sample(encoder, beginning) for beginning in counts.beginnings],
    }


def report_metrics(report: dict[str, Any]) -> dict[str, float]:
    """Return the figures of a report as flat metrics."""
    flat = {name: float(report["whole"][name]) for name in ("tokens", "bytes_per_token", "fertility", "unknown_rate", "lost_share")}
    flat |= {"vocab_size": float(report["vocab_size"]), "train_bytes": float(report["whole"]["bytes"]), "used_share": report["used_share"]}
    for name, figures in report["sources"].items():
        flat |= {f"{figure}_{name}": float(figures[figure]) for figure in ("bytes_per_token", "fertility", "unknown_rate")}
    return flat | {f"sweep_{row['size']}_bytes_per_token": row["bytes_per_token"] for row in report["sweep"]}


def _sample(encoder: TextEncoder, beginning: Beginning) -> dict[str, Any]:
    """Return a beginning as [id, text] for each token; a character's text belongs to its first token."""
    encoding = encoder.tokenizer.encode(beginning.text, add_special_tokens=False)
    cuts: list[list[Any]] = []
    done = 0
    for index, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        cuts.append([index, beginning.text[max(start, done) : end]])
        done = max(done, end)
    return {"id": beginning.id, "source": beginning.source, "unknown": encoder.unknown, "tokens": cuts}


def join(fitted: Path, counted: Sequence[Path], output: Path, config: DescribeConfig) -> dict[str, float]:
    """Write the tokenizer directory `output`. `fitted`, `counted`: folders that `fit` and, for each shard, `restore` wrote.

    Return vocab_size (tokens reached), used_share (of the vocabulary, in the split), tokens and train_bytes of the split, bytes_per_token
    (without lost bytes), fertility (tokens a word), unknown_rate (of the tokens), lost_share (of the bytes), the same by source, bytes per
    token of each size that a sweep tried, sample_bytes (of the text fitted on), sample_fraction, and round_trip_errors, which is 0, or the
    function raises TokenizerError.
    """
    encoder = TextEncoder(fitted)
    counts = Counts.joined(counted, encoder.vocab_size)
    if counts.failures:
        raise TokenizerError(
            f"{counts.failures} chunks of the training split are not restored from their ids, one of them in document {counts.failed}; "
            "the tokenizer is unusable"
        )
    record = json.loads((fitted / FITTED).read_text(encoding="utf-8"))
    content = make_report(encoder, counts, config.kind, record["sweep"])
    output.mkdir(parents=True, exist_ok=True)
    for name in (TOKENIZER_FILE, RECORD):
        shutil.copyfile(fitted / name, output / name)
    write_hugging_face_files(output, unknown=encoder.unknown is not None)
    write_json(output / "report.json", content)
    return {
        **report_metrics(content),
        "sample_bytes": float(record["sample_bytes"]),
        "sample_fraction": record["sample_bytes"] / record["train_bytes"],
        "round_trip_errors": float(counts.failures),
    }


def fit_tokenizer(train: Files, output: Path, config: TokenizerConfig) -> dict[str, float]:
    """Fit, verify and join without stages, over the split in the files `train`. Return and raise what the three do."""
    with TemporaryDirectory(prefix="fitting-") as folder:
        fitted, counted = Path(folder) / "fitted", Path(folder) / "counted"
        fit(train, fitted, config)
        restore(train, fitted / "tokenizer.json", counted, config.restoring)
        return join(fitted, [counted], output, config.describing)
