"""Measures a tokenizer on the training split: verifies the round trip, and collects the figures and samples of report.json.

Every chunk of every document is encoded and decoded. A chunk without `<|unk|>` must be restored byte for byte; one with it must have as
many bytes as its known tokens. Equal splits give equal reports. Costs one pass over the split.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data.documents.stream import Files
from data.tokens.documents import SplitDocument, read_documents, shuffle_key
from data.tokens.encoder import TextEncoder, batches
from data.tokens.special import SPECIAL_TOKENS

LONGEST, SAMPLES, SAMPLE_CHARACTERS, SHOWN_CHARACTERS = 24, 3, 900, 60


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


@dataclass(frozen=True)
class Measurement:
    """Counts over the split and by source, uses of each token, the number of chunks that failed the round trip, and samples."""

    whole: Tally
    sources: dict[str, Tally]
    uses: np.ndarray[Any, np.dtype[np.int64]]
    errors: int
    samples: list[dict[str, Any]]


def measure(encoder: TextEncoder, split: Files, seed: int) -> Measurement:
    """Encode, decode and count every chunk of a split."""
    whole, sources = Tally(), defaultdict[str, Tally](Tally)
    uses = np.zeros(encoder.vocab_size, dtype=np.int64)
    errors = 0
    chosen: list[tuple[int, SplitDocument]] = []
    for group in batches(_texts(split, seed, chosen)):
        texts = [text for _, text in group]
        encodings = encoder.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        lists = [encoding.ids for encoding in encodings]
        back = encoder.tokenizer.decode_batch(lists, skip_special_tokens=True)  # would drop a special token, if there were one
        for (source, text), ids, decoded in zip(group, lists, back, strict=True):
            counted = np.bincount(np.array(ids, dtype=np.int64), minlength=encoder.vocab_size)
            unknown = int(counted[encoder.unknown]) if encoder.unknown is not None else 0
            size, known_bytes = len(text.encode()), int(counted @ encoder.token_bytes)
            tally = Tally(size, len(text.split()), len(ids), unknown, size - known_bytes)
            whole.add(tally)
            sources[source].add(tally)
            uses += counted
            errors += len(decoded.encode()) != known_bytes if unknown else decoded != text
    return Measurement(
        whole,
        dict(sorted(sources.items())),
        uses,
        errors,
        [_sample(encoder, document) for _, document in chosen],
    )


def make_report(encoder: TextEncoder, measured: Measurement, kind: str, sweep: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of report.json."""
    sizes, used = encoder.token_bytes, measured.uses > 0
    named = {index: token for token, index in encoder.tokenizer.get_vocab(with_added_tokens=True).items()}
    longest = sorted((index for index in named if sizes[index]), key=lambda index: (-int(sizes[index]), index))[:LONGEST]
    learned = np.array([index for index in range(encoder.vocab_size) if index >= len(SPECIAL_TOKENS) and index != encoder.unknown])
    return {
        "kind": kind,
        "vocab_size": encoder.vocab_size,
        "used_share": float(used[learned].mean()) if len(learned) else 0.0,
        "whole": measured.whole.figures(),
        "sources": {name: tally.figures() for name, tally in measured.sources.items()},
        "longest": [
            {"id": i, "text": encoder.decode(np.array([i])), "bytes": int(sizes[i]), "uses": int(measured.uses[i])} for i in longest
        ],
        "sweep": sweep,
        "samples": measured.samples,
    }


def report_metrics(report: dict[str, Any]) -> dict[str, float]:
    """Return the figures of a report as flat metrics."""
    flat = {name: float(report["whole"][name]) for name in ("tokens", "bytes_per_token", "fertility", "unknown_rate", "lost_share")}
    flat |= {"vocab_size": float(report["vocab_size"]), "train_bytes": float(report["whole"]["bytes"]), "used_share": report["used_share"]}
    for name, figures in report["sources"].items():
        flat |= {f"{figure}_{name}": float(figures[figure]) for figure in ("bytes_per_token", "fertility", "unknown_rate")}
    return flat | {f"sweep_{row['size']}_bytes_per_token": row["bytes_per_token"] for row in report["sweep"]}


def _texts(split: Files, seed: int, chosen: list[tuple[int, SplitDocument]]) -> Iterator[tuple[str, str]]:
    """Yield (source, text) of each document with text; collect in `chosen` the documents whose beginnings become samples."""
    for document in read_documents(split):
        chosen.append(
            (shuffle_key(seed, "shown", document.id), SplitDocument(document.id, document.source, document.text[:SAMPLE_CHARACTERS]))
        )
        chosen.sort(key=lambda one: one[0])
        del chosen[SAMPLES:]
        if document.text:
            yield document.source, document.text


def _sample(encoder: TextEncoder, document: SplitDocument) -> dict[str, Any]:
    """Return the beginning of a document as [id, text] for each token; a character's text belongs to its first token."""
    encoding = encoder.tokenizer.encode(document.text, add_special_tokens=False)
    cuts: list[list[Any]] = []
    done = 0
    for index, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        cuts.append([index, document.text[max(start, done) : end]])
        done = max(done, end)
    return {"id": document.id, "source": document.source, "unknown": encoder.unknown, "tokens": cuts}
