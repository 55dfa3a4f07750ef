"""Makes report.json of a tokenizer from the counts over the training split: figures, longest tokens, sizes tried, texts cut into tokens.

Equal counts give equal reports.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from data.tokens.encoder import TextEncoder
from data.tokens.restoring.counts import Beginning, Counts
from data.tokens.special import SPECIAL_TOKENS

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
