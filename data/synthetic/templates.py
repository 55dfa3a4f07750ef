"""Texts from templates: different ones, chosen by a seed among all that the grammar makes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from random import Random

from data.synthetic.config import TemplatesMaker
from data.synthetic.grammar import Grammar


def generate_texts(maker: TemplatesMaker) -> Iterator[str]:
    """`count` different texts, in an order that the seed decides; more of the same seed begin with these.

    Memory holds a number and a digest a text. Raises ValueError when ways to fill the slots read the same so often that there are fewer
    texts than were asked for.
    """
    grammar, made = maker.grammar, set[bytes]()
    for number in _order(grammar, maker.seed):
        text = grammar.text(number)
        digest = hashlib.sha256(text.encode()).digest()[:16]
        if text.strip() and digest not in made:
            made.add(digest)
            yield text
            if len(made) == maker.count:
                return
    raise ValueError(
        f"templates make {grammar.size} texts of which only {len(made)} differ, and count={maker.count} asks for more; add entries that "
        "read differently, or ask for less"
    )


def _order(grammar: Grammar, seed: int) -> Iterator[int]:
    """Every number of the grammar once, by a shuffle that keeps only what it has moved (Fisher and Yates, sparse)."""
    random, moved = Random(seed), dict[int, int]()
    for last in range(grammar.size - 1, -1, -1):
        chosen = random.randrange(last + 1)
        yield moved.get(chosen, chosen)
        moved[chosen] = moved.pop(last, last)
