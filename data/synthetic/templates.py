"""Different texts from templates, chosen by a seed among all that the grammar makes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from random import Random

from data.synthetic.config import TemplatesMaker
from data.synthetic.grammar import Grammar


def generate_texts(maker: TemplatesMaker) -> Iterator[str]:
    """Yield `count` different texts in an order that the seed decides; with a larger count the same texts come first.

    Memory holds a number and a digest per text. Raise ValueError if so many ways to fill the slots give the same text that there are fewer
    than `count`.
    """
    grammar, made = maker.grammar, set[bytes]()
    for number in _shuffled_numbers(grammar, maker.seed):
        text = grammar.text(number)
        digest = hashlib.sha256(text.encode()).digest()[:16]
        if text.strip() and digest not in made:
            made.add(digest)
            yield text
            if len(made) == maker.count:
                return
    raise ValueError(
        f"templates make {grammar.size} texts of which only {len(made)} differ, and count={maker.count} asks for more; add entries that "
        "read differently, or lower count"
    )


def _shuffled_numbers(grammar: Grammar, seed: int) -> Iterator[int]:
    """Yield every number of the grammar once, by a sparse Fisher-Yates shuffle that stores only moved numbers."""
    random, moved = Random(seed), dict[int, int]()
    for last in range(grammar.size - 1, -1, -1):
        chosen = random.randrange(last + 1)
        yield moved.get(chosen, chosen)
        moved[chosen] = moved.pop(last, last)
