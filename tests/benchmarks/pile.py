"""A pile of text of any size, made of a small one: the generated universe's books, replicated with variation.

Guarantees: the same number gives the same document on any machine; a pile is written as it is made, whatever its size. Each round through
the books exchanges their rarer words for others of one lexicon, by a rule of its own, so that rounds share no run of five words but by
chance. Of a hundred documents four are exact copies of earlier ones, four are such copies
with every fiftieth word changed, three have lost their encoding, and four are what filters are for: a list, a loop, a menu, a fragment.
It costs about 3 s, and then a second for 50 MB.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from random import Random

from data.universe.book import write_books
from data.universe.world import build_world

BOOKS, SEED = 200, 1
PIECE_CHARACTERS = 6_000
COMMON = 150
"""Words that stay what they are: without them no text would look like English to a filter."""
INVENTED = 20_000
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sta", "tre", "vi", "wo", "zu")
Document = tuple[str, str]


class Pile:
    """Documents by number: `id`, `text`."""

    def __init__(self) -> None:
        books, _ = write_books(build_world(SEED), SEED, BOOKS)
        self._pieces = [re.split(r"(\w+)", piece) for book in books for piece in _pieces(book.paragraphs[3:])]
        words = Counter(token for tokens in self._pieces for token in tokens[1::2])
        rare = [word for word, _ in words.most_common()[COMMON:]]
        random = Random("lexicon")
        invented = sorted({"".join(random.choices(SYLLABLES, k=random.randint(2, 4))) for _ in range(INVENTED)})
        small, great = (sorted(word for word in rare if word.istitle() is title) for title in (False, True))
        self._classes = [(small, small + invented), (great, great + [word.title() for word in invented])]
        self._round, self._exchange = 0, dict[str, str]()

    def documents(self, megabytes: float) -> Iterator[Document]:
        """As many as make so many megabytes of UTF-8."""
        number, left = 0, megabytes * 1e6
        while left > 0:
            text = self.text(number)
            left -= len(text.encode())
            yield f"{number:016x}", text
            number += 1

    def text(self, number: int) -> str:
        """The text of a document."""
        kind = number % 100
        if kind < 8 and number >= 100:
            original = self._plain(number - 88)
            return original if kind < 4 else re.sub(r"((?:\w+\W+){49})\w+", r"\1otherwise", original)
        text = self._plain(number)
        if kind in (20, 40, 60):
            return text.replace("'", "’").replace(",", " —").encode().decode("cp1252", "replace").replace("\ufffd", "")
        if kind == 30:
            return "\n".join(f"* {line[:20]}" for line in text.split("\n"))
        if kind == 50:
            return "\n".join([text[:300]] * 15)
        if kind == 70:
            return "\n".join([*("Read our privacy policy { here }." for _ in range(3)), text[:2000]])
        return text[:180] if kind == 90 else text

    def _plain(self, number: int) -> str:
        turn, place = divmod(number, len(self._pieces))
        if turn != self._round:
            self._round, self._exchange = turn, self._exchanged(turn)
        return "".join([self._exchange.get(token, token) for token in self._pieces[place]])

    def _exchanged(self, turn: int) -> dict[str, str]:
        random, found = Random(f"round:{turn}"), dict[str, str]()
        for words, lexicon in self._classes if turn else ():
            found |= dict(zip(words, random.sample(lexicon, len(words)), strict=True))
        return found


def _pieces(paragraphs: tuple[str, ...]) -> Iterator[str]:
    held: list[str] = []
    for paragraph in paragraphs:
        held.append(paragraph)
        if sum(map(len, held)) > PIECE_CHARACTERS:
            yield "\n".join(held)
            held = []
