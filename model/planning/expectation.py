"""What can be expected of a model before it is trained. Rough by nature: said as a range, with what it rests on."""

from __future__ import annotations

from model.planning.proposal import Text

# folio's own runs on English text: bits per byte on what was held out, by bytes of different text. From them a power law.
LARGE_BYTES, LARGE_BITS = 21e6, 1.83
EXPONENT = 0.035
BETTER, WORSE = 0.3, 0.35  # parts of one book, or one author's novels, are easy to predict, verse of several centuries is hard
BASIS = (
    "from runs on English text: 1.83 on 21 MB of mixed books, 1.53 on 2.3 MB of one author's novels, 1.88 on 0.5 MB of essays, "
    "1.54 on 0.4 MB of notes cut from essays"
)
LEAST_BYTES = 100_000
"""A fifth of the least text that was tried: nothing is promised of less."""
# Eldan and Li 2023, "TinyStories": below about ten million parameters and some hundred million tokens, even of simple stories, models lose
# the thread of a conversation.
CHAT_PARAMETERS, CHAT_TOKENS = 1e7, 2e8


def expected_bits_per_byte(text: Text, epochs: float) -> tuple[float, float]:
    """Return the range of bits per byte on unseen text of the kind, for a model of the planner's size that reads it `epochs` times."""
    different = max(1.0, min(text.bytes, epochs * text.bytes))
    middle = LARGE_BITS * (LARGE_BYTES / different) ** EXPONENT
    return middle * (1 - BETTER), min(8.0, middle * (1 + WORSE))


def may_converse(parameters: float, tokens: float) -> bool:
    """Return whether a model and `tokens` of different text are enough that tuning it to converse can be worth the time."""
    return parameters >= CHAT_PARAMETERS and tokens >= CHAT_TOKENS
