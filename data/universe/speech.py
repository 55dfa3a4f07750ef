"""The spoken universe: sentences of a small world, said by a formant synthesizer of folio's own, so that what is said is known.

Each letter is a sound: vowels and sonorants are pulses of a voice through three resonances (Fant 1960; Klatt 1980), fricatives are noise
through one, stops a silence and a burst. Letters are said as they are written, so "th" is a t and an h. A voice has a pitch that falls, a
throat of some length, a pace and a loudness, drawn anew for each sentence, and a room that hisses. Nobody would take it for a person;
what can be learned from it is to write down what is heard.

The same seed gives the same sentences everywhere, and the same samples with the same versions of numpy and scipy.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from data.shards.sounds import RATE
from data.universe.pictures import ANIMALS, COATS, PLACES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERBS = ("sees", "finds", "follows", "likes", "meets", "hears")
WIDTHS = (90, 120, 170)  # of the three resonances; Hz
RAMP = 0.004  # of a letter's beginning and end; seconds
FALL = 0.2  # of the pitch from a sentence's beginning to its end; fraction
LOUDEST = 0.9  # of the samples' range


class Sound(NamedTuple):
    """How a letter is said. peaks: resonances in Hz; voice, noise: shares of the two; closed: seconds of silence before it."""

    peaks: tuple[int, ...]
    seconds: float
    level: float
    voice: float = 1.0
    noise: float = 0.0
    closed: float = 0.0


def _vowel(*peaks: int) -> Sound:
    return Sound(peaks, 0.065, 1.0)


def _sonorant(*peaks: int) -> Sound:
    return Sound(peaks, 0.05, 0.6)


def _fricative(peak: int, voice: float = 0.0) -> Sound:
    return Sound((peak,), 0.055, 0.35, voice, 1.0)


def _stop(peak: int, voice: float = 0.0) -> Sound:
    return Sound((peak,), 0.022, 0.6, voice, 1.0, closed=0.018)


LETTERS: dict[str, Sound] = {
    "a": _vowel(750, 1250, 2600), "e": _vowel(480, 1950, 2600), "i": _vowel(290, 2300, 3000), "o": _vowel(450, 850, 2500),
    "u": _vowel(310, 700, 2250), "y": _vowel(280, 1750, 2200),
    "l": _sonorant(370, 1100, 2900), "r": _sonorant(420, 1300, 1600), "m": _sonorant(250, 950, 2100), "n": _sonorant(250, 1500, 2500),
    "w": _sonorant(300, 620, 2900), "j": _sonorant(260, 2100, 3300),
    "f": _fricative(7000), "s": _fricative(5600), "h": _fricative(1500), "x": _fricative(3600), "c": _fricative(2900),
    "v": _fricative(6600, 0.5), "z": _fricative(5000, 0.5),
    "p": _stop(700), "t": _stop(4300), "k": _stop(2100), "q": _stop(1600), "b": _stop(900, 0.6), "d": _stop(3700, 0.6),
    "g": _stop(2400, 0.6),
}  # fmt: skip
PAUSE = 0.025  # between words; seconds


class Voice(NamedTuple):
    """Who speaks. pitch: Hz; throat, pace: factors of the resonances and of the durations; loudness, hiss: of the samples' range."""

    pitch: float
    throat: float
    pace: float
    loudness: float
    hiss: float


def speeches(seed: int, count: int) -> Iterator[tuple[bytes, str]]:
    """Yield `count` sentences, all different, as samples (int16 at 16 kHz) and words. Raise ValueError if there are not so many."""
    most = len(ANIMALS) ** 2 * len(VERBS) * len(COATS) * len(PLACES)
    if count > most:
        raise ValueError(f"{count} sentences, and the spoken world has {most} different ones; ask for fewer")
    for number, which in enumerate(Random(f"spoken:{seed}").sample(range(most), count)):
        chosen = []
        for words in (sorted(ANIMALS), VERBS, sorted(COATS), sorted(ANIMALS), sorted(PLACES)):
            which, place = divmod(which, len(words))
            chosen.append(words[place])
        who, verb, colour, whom, place_name = chosen
        sentence = f"the {who} {verb} a {colour} {whom} by the {place_name}"
        yield say(sentence, Random(f"voice:{seed}:{number}")), sentence


def say(sentence: str, rng: Random) -> bytes:
    """Return a sentence of lower-case letters and spaces in a voice by chance, int16 samples at 16 kHz."""
    import numpy as np

    voice = Voice(rng.uniform(95, 220), rng.uniform(0.92, 1.1), rng.uniform(0.92, 1.08), rng.uniform(0.4, 0.9), rng.uniform(0.001, 0.004))
    chance = np.random.default_rng(rng.getrandbits(64))
    parts = []
    for number, letter in enumerate(sentence):
        pitch = voice.pitch * (1 - FALL * number / len(sentence)) * rng.uniform(0.98, 1.02)
        parts.append(_letter(letter, pitch, voice, chance))
    samples = np.concatenate(parts)
    samples = samples / np.abs(samples).max() * voice.loudness + chance.normal(0, voice.hiss, len(samples))
    whole: bytes = np.round(np.clip(samples, -1, 1) * LOUDEST * 32_767).astype("<i2").tobytes()
    return whole


def _letter(letter: str, pitch: float, voice: Voice, chance: np.random.Generator) -> NDArray[np.float64]:
    """Return the samples of a letter, or of a pause between words."""
    import numpy as np
    from scipy.signal import sosfilt

    if letter == " ":
        return np.zeros(int(PAUSE * voice.pace * RATE))
    sound = LETTERS[letter]
    count, period = int(sound.seconds * voice.pace * RATE), int(RATE / pitch)
    pulses = np.zeros(count)
    pulses[int(chance.integers(period)) % count :: period] = np.sqrt(period)  # of the power of noise
    source = sound.voice * pulses + sound.noise * chance.normal(size=count)
    widths = WIDTHS if len(sound.peaks) > 1 else (900,)
    made = sosfilt([_resonance(peak * voice.throat, width) for peak, width in zip(sound.peaks, widths, strict=True)], source)
    made *= sound.level / np.sqrt(np.mean(made**2) + 1e-12)
    ramp = np.minimum(1.0, np.arange(count) / (RAMP * RATE))
    return np.concatenate([np.zeros(int(sound.closed * voice.pace * RATE)), made * ramp * ramp[::-1]])


def _resonance(peak: float, width: float) -> list[float]:
    """Return a filter with one peak, as a section of second order: b0, b1, b2, a0, a1, a2."""
    import math

    peak = min(peak, 0.48 * RATE)
    radius, angle = math.exp(-math.pi * width / RATE), 2 * math.pi * peak / RATE
    first, second = -2 * radius * math.cos(angle), radius**2
    return [1 + first + second, 0.0, 0.0, 1.0, first, second]
