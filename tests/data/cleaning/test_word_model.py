"""Misread words are found by a word list and by shapes that OCR confuses, in documents that have many of them; right text stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.cleaning.clean import clean
from data.cleaning.config import CleanConfig
from data.cleaning.word_model import misread
from tests.data.dedup.books import texts_of, write

pytest.importorskip("symspellpy")

SENTENCE = "The little children went with their mother into the garden under the great trees and there they found their brother again. "
WRONG = {
    "little": "liltle", "children": "cbildren", "their": "thcir", "mother": "motber", "garden": "gardcn", "under": "uncler",
    "great": "grcat", "trees": "trecs", "there": "thcre", "found": "fonnd", "brother": "brotber", "again": "agaiu",
}  # fmt: skip
DIALECT = "Thae bairns gaed wi' their mither intae the gairden anaith the muckle trees, an' thaur they fand their brither agane. "


def _words(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in text.lower().replace(".", "").split():
        found[word] = found.get(word, 0) + 1
    return found


def test_a_form_is_what_one_confusion_made_of_a_far_likelier_word_and_else_nothing() -> None:
    words = _words(SENTENCE * 20) | dict.fromkeys(WRONG.values(), 1)
    assert dict(misread(words, words)) == {wrong: right for right, wrong in WRONG.items()}
    for kept in ("gardens", "gardener", "motherless", "undergarden", "regarden", "greatt", "mothor"):
        assert not dict(misread(words | {kept: 1}, {kept: 1} | dict.fromkeys(words, 0)))


def test_a_form_that_always_has_a_capital_or_is_frequent_stays() -> None:
    words = _words(SENTENCE * 20)
    assert not dict(misread(words | {"motber": 1}, words | {"motber": 0}))
    assert not dict(misread(words | {"motber": 15}, words | {"motber": 15}))


def _cleaned(folder: Path, texts: dict[str, str]) -> dict[str, str]:
    off = dict.fromkeys(("quotes", "contents", "boilerplate", "unwrap", "hyphenation"), False)
    documents = write(folder / "in", texts)
    clean(documents, folder / "out", CleanConfig(ocr_words=True, **off), threads=1, memory="500MB", scratch=folder / "scratch")
    return texts_of(folder / "out")


def test_a_document_with_many_misread_words_is_corrected_and_one_with_few_is_not(tmp_path: Path) -> None:
    damaged = SENTENCE
    for right, wrong in WRONG.items():
        damaged = damaged.replace(right, wrong, 1)
    one = SENTENCE.replace("garden", "gardcn")
    texts = {name: (SENTENCE * 20 + more).strip() for name, more in {"bad": damaged, "one": one, "dialect": DIALECT * 9}.items()}
    found = _cleaned(tmp_path, texts)
    assert found == {**texts, "bad": (SENTENCE * 21).strip()}


def test_quotations_names_and_halves_of_words_in_a_misread_document_stay(tmp_path: Path) -> None:
    damaged = SENTENCE
    for right, wrong in WRONG.items():
        damaged = damaged.replace(right, wrong, 1)
    kept = "They said: summi gardcn plaudite, and there was old Gardcn with them in the gardcn- ing trees."
    right = (SENTENCE * 200).strip()
    found = _cleaned(tmp_path, {"bad": f"{right} {damaged.strip()}\n\n{kept}"})
    assert found == {"bad": f"{right} {SENTENCE.strip()}\n\n{kept}"}
