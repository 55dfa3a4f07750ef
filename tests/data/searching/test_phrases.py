"""A document's phrases are found however its text was copied."""

from __future__ import annotations

import html
import json

import pytest

from data.searching.phrases import Phrases, unescape

TEXT = 'She said: "It isn\'t the café’s fault, you know."\n\nThen nobody spoke for a while & the lamp went out.'
SENTENCE = "Then nobody spoke for a while & the lamp went out."
PHRASES = Phrases.of([TEXT])


@pytest.mark.parametrize(
    "copy",
    [
        TEXT,
        TEXT.upper(),
        TEXT.replace(" ", "\n"),
        json.dumps({"text": TEXT}),
        json.dumps({"text": TEXT}, ensure_ascii=False),
        json.dumps(json.dumps([json.dumps(TEXT)])),
        html.escape(TEXT),
        html.escape(html.escape(TEXT)),
        json.dumps({"page": f"<p>{html.escape(TEXT)}</p>"}),
        repr(TEXT),
    ],
)
def test_a_whole_copy_has_every_phrase_however_it_is_escaped(copy: str) -> None:
    assert len(PHRASES.find(unescape(copy)).hashes) == len(PHRASES)


def test_markup_between_and_within_words_hides_nothing() -> None:
    marked = "<td>Then</td><td>nobody</td><td>spoke</td><td>for</td><td>a</td>"
    split = "<span>Th</span><span>en nob</span><span>ody spoke</span><span> for a while</span>"
    attribute = '<img alt="Then nobody spoke for a while">'
    assert all(PHRASES.find(unescape(text)).hashes for text in (marked, split, attribute))


def test_a_quotation_of_five_words_is_found_and_quoted_and_one_of_four_is_not() -> None:
    assert PHRASES.find(unescape("... nobody spoke for a while ...")).quote == "nobody spoke for a while"
    assert not PHRASES.find(unescape("nobody spoke for a")).hashes


def test_phrases_of_other_documents_are_no_longer_found_once_taken_out() -> None:
    common = PHRASES.find(unescape(SENTENCE)).hashes
    own = PHRASES.without(common)
    assert 0 < len(own) < len(PHRASES)
    assert not own.find(unescape(SENTENCE)).hashes


def test_a_shorter_text_is_one_phrase_and_a_single_word_is_none() -> None:
    assert len(Phrases.of(["The cat sat."])) == 1
    assert Phrases.of(["The cat sat."]).find(unescape("where THE CAT sat down")).quote == "the cat sat"
    assert len(Phrases.of(["No."])) == len(Phrases.of([])) == 0
    assert not Phrases.of(["No."]).find("no no no").hashes
