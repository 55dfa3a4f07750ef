"""Verify that a tokenizer restores a shard of the training split, and count how it encodes it; join the counts of all shards.

Every chunk of every document is encoded and decoded. A chunk without `<|unk|>` must be restored byte for byte; one with it must have as
many bytes as its known tokens. Chunks that fail are counted and a document is named; joining the shards raises for them.
Equal texts give equal files. Costs one pass over the shard; memory holds a batch of chunks, and a number for each token.

Counts of how a tokenizer encodes texts: those of a shard, as files, and those of all shards, which are their sums.

Files: counts.json (the tallies by source, and what is not restored), uses.npy (uses of each token) and shown.json (beginnings
of documents that the report may show). Any division into shards gives the same sums and the same beginnings.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.documents.stream import Files
from data.tokens.config import SHOWN, RestoreConfig
from data.tokens.documents import read_documents, shuffle_key
from data.tokens.encoder import TextEncoder, batches
from data.tokens.special import write_json

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
