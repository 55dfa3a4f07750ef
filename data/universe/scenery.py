"""Sentences that state no fact: weather, roads, everyday actions. They turn a list of facts into prose.

Slots of a pattern are filled from WORDS. No pattern contains a word of `names`, so scenery never contradicts a fact.
"""

from __future__ import annotations

from random import Random
from string import Formatter

WORDS: dict[str, tuple[str, ...]] = {
    "when": (
        "one morning", "that evening", "in the spring", "after the rain", "before sunrise", "on a cold day",
        "late at night",
        "in early autumn", "at noon", "on the third day", "when the snow melted", "some time later",
    ),
    "sky": ("grey", "clear", "dark", "pale", "bright", "heavy", "soft", "blue", "wild", "quiet"),
    "look": ("small", "old", "low", "white", "narrow", "crooked", "tall", "lonely", "broken", "red"),
    "thing": (
        "lamp", "chair", "blanket", "kettle", "hat", "basin", "mirror", "window", "ladder", "letter", "coat", "stove",
        "drawer", "map", "stick", "bucket",
    ),
    "spot": (
        "gate", "garden wall", "well", "bridge", "market square", "café", "back door", "orchard", "hill", "stairs",
        "stone bench", "corner", "barn", "attic",
    ),
    "did": (
        "turned slowly", "made no sound", "waited for news", "counted the stars", "laughed aloud", "shook the snow off",
        "forgot the time", "told the same joke again", "sang a short song", "thought of other days",
    ),
    "who": (
        "an old man", "a young girl", "two brothers", "a stranger", "somebody's aunt", "a tired rider",
        "three children",
        "the neighbours", "a woman in black", "a boy with a stick",
    ),
    "felt": ("glad", "tired", "hungry", "quiet", "hopeful", "cold", "curious", "content", "restless", "at ease"),
    "sound": ("wind", "rain", "fire", "grass", "thunder", "old clock", "loose shutter", "far music"),
}  # fmt: skip

GENERAL = (
    "The sky was {sky} {when}.", "By the {spot} stood a {look} {thing}.", "{Who} {did} near the {spot}.",
    "Nobody moved the {thing} from the {spot}.", "You could hear the {sound} as far as the {spot}.",
    "{When} the {sound} came back.", "There was a {look} {thing}, and beside it a {look} {thing}.",
    "{Who} came to the {spot} and {did}.", "{When} {who} {did}.", "The road ran past a {look} wall and a {look} gate.",
    "It was a {sky} day, and everyone felt {felt}.", "The {thing} by the {spot} had been there for years.",
    "{When}, under a {sky} sky, {who} {did}.", "Someone had left a {thing} at the {spot}.",
    "We all felt {felt} and listened to the {sound}.", "The {sound} was loud {when}.",
    "A {look} path led from the {spot} to the next {spot}.", "Behind the {spot} there was nothing but a {sky} sky.",
    "At the fête {who} {did}, and the rest looked on.", "The {thing} was {look}, and so was the {spot}.",
)  # fmt: skip

ABOUT_PERSON = (
    "{S} sat by the {spot} and {did}.", "{When} {s} {did}.", "{S} felt {felt} and looked for {p} {thing}.",
    "There is a {look} {thing} in {p} room.", "{S} does not mind the {sound}.",
    "{When} you could see {o} at the {spot}.",
    "{P} friends say that {s} is never {felt} for long.", "{S} once mended a {thing} for {who}.",
    "Nobody can carry a {look} {thing} as {s} does.", "{S} put the {thing} down and {did}.",
    "{S} is kind to {who}, and to all others.",
    "{P} voice is as soft as the {sound}.", "{S} can tell a long story about a {look} {thing}.",
    "{S} waited at the {spot} until the sky was {sky}.", "It is good to sit with {o} by the {spot}.",
    "{S} smiled, for {s} felt {felt}.", "{When} {s} lost {p} {thing} and did not mind.",
    "A {look} {thing} stands by {p} bed.", "{S} gave {who} a {look} {thing}.",
    "{S} knows every {look} {spot} for miles.",
    "{Who} came to see {o} {when}.", "{P} {thing} is {look}, but {s} will have no other.",
    "{S} is {felt} when the sky is {sky}.",
)  # fmt: skip

ABOUT_TOWN = (
    "{When} the streets were full of noise.", "{Who} {did} at the {spot}.",
    "The roofs are {look}, and the sky above is {sky}.",
    "A traveller can rest at the {spot}.", "By the {spot} the wind smells of wood and smoke.",
    "Its people are {felt} in the {sound}.", "They keep a {look} {thing} at the {spot}.",
    "A {look} wall runs from the {spot} to the {spot}.",
    "{When} the whole town felt {felt}.", "There is a {look} inn with a {thing} above the door.",
    "From the {spot} you can see every roof.", "Strangers are given a {thing} and a place by the fire.",
    "The gates close when the {sound} begins.", "The {spot} is older than any house.",
    "{When} {who} arrived and stayed.",
    "I still think of the {look} {spot} there.", "Every street ends at a {look} {spot}.",
    "We slept there {when} and felt {felt}.",
    "{Who} showed us a {look} {thing}.", "I left my {thing} there, at the {spot}.",
)  # fmt: skip


def scenery(rng: Random, patterns: tuple[str, ...], **given: str) -> str:
    """Return one sentence from `patterns`. Slots are filled from `given`, else at random from WORDS; {Slot} is capitalized."""
    pattern = rng.choice(patterns)
    parts: list[str] = []
    for literal, slot, _, _ in Formatter().parse(pattern):
        parts.append(literal)
        if slot is None:
            continue
        word = given.get(slot) or rng.choice(WORDS[slot.lower()])
        parts.append(word[0].upper() + word[1:] if slot[0].isupper() else word)
    return "".join(parts)
