"""BM25 as its formula is read, with nothing kept between questions."""

from __future__ import annotations

import math
from collections import Counter

from data.documents.sharding import document_id
from data.searching.passages import cut_passages, terms


def reference(texts: dict[str, str], question: str, characters: int) -> list[tuple[str, int, float]]:
    """BM25 of every passage that shares a term with a question, best first, counted plainly."""
    passages = [
        (document_id("handbook", name), start, Counter(terms(text[start:end])))
        for name, text in texts.items()
        for start, end in cut_passages(text, characters)
    ]
    mean = sum(sum(counts.values()) for *_, counts in passages) / len(passages)
    holdings = Counter(term for *_, counts in passages for term in counts)
    found = []
    for identity, start, counts in passages:
        score, length = 0.0, sum(counts.values())
        for term in terms(question):
            holding = holdings[term]
            idf = math.log(1 + (len(passages) - holding + 0.5) / (holding + 0.5))
            score += idf * counts[term] / (counts[term] + 1.2 * (1 - 0.75 + 0.75 * length / mean))
        if score:
            found.append((identity, start, score))
    return sorted(found, key=lambda hit: (-round(hit[2], 9), hit[0], hit[1]))
