"""What can be expected of a model before it is trained. Rough by nature: said as a range, with what it rests on."""

from __future__ import annotations

from model.planning.proposal import Text

# folio's own runs on English prose: bits per byte on unseen books, by bytes of different text. Between them and beyond, a power law.
LARGE_BYTES, LARGE_BITS = 22e6, 1.98
SMALL_BYTES, SMALL_BITS = 0.46e6, 2.38
EXPONENT = 0.0475
BETTER, WORSE = 0.1, 0.25  # other books and seeds; and models smaller than those of the two runs, which had 3 M and 0.8 M parameters
BASIS = "from runs on English prose, 1.98 on 22 MB and about 2.4 on 0.5 MB; other languages and kinds of text differ"
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
