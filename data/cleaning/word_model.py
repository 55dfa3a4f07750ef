"""A model of misread words: which word of English a form was printed as that is in no word list.

A noisy channel: the form differs from the word by one confusion of shapes, and the word is the likeliest by its frequency, half in the
shard and half in the word list of symspellpy (82,765 words of English with their frequencies in books). A form is left alone if two words
are nearly as likely, if it is built of known words (a plural, a compound), if it is the word in another spelling (accessary), if the shard
writes it often or with an apostrophe or underscore beside it, or if it always has a capital, since names are in no list. Which documents
are corrected, and at which places, is decided in modelled_documents.sql: those in English that have many such forms.

Costs a second for the word list, and some 20,000 forms a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

import duckdb
import pyarrow as pa

WORD_LIST = "frequency_dictionary_en_82_765.txt"
PER_MILLION = 1e6  # of the words that the list was counted on, about 1e12
PAIRS = (
    "rn m|ri n|ni m|in m|nn m|cl d|li h|ii n|ii u|il u|vv w|tl d|ln h|fi h|b h|e c|e o|c o|u n|u v|f t|l t|i l|i j|r t|a o|a u|s f|v y|g q|"
    "g y|n r|h k|e a|z s|w v|x z|p n"
)
# What is seen, what was printed.
CONFUSED = tuple((one, other) for pair in PAIRS.split("|") for one, other in (pair.split(), pair.split()[::-1]))
ENDINGS = (
    *("s", "es", "ed", "d", "ing", "ly", "er", "ers", "ors", "est", "eth"),
    *("st", "th", "n", "en", "ness", "ful", "less", "man", "men", "like", "ment", "ish", "ous", "ious", "ery", "eries"),
)
BEGINNINGS = ("un", "re", "dis", "mis", "non", "out", "for", "fore", "over")
# Endings that spelling has not settled, or once had not.
SPELLINGS = tuple(
    (one, other)
    for pair in ("or our", "ary ory", "ance ence", "ant ent", "ancy ency", "er or", "ar er", "ar or")
    for one, other in (pair.split(), pair.split()[::-1])
)
SHORTEST, LONGEST, PART = 3, 24, 3
# Parts of words (lov'd) and what is set off (_jure_) are not whole words of English.
BESIDE = """SELECT DISTINCT lower(unnest(regexp_extract_all(chunk, '(\\p{L}+)[''_]', 1) || regexp_extract_all(chunk, '[''_](\\p{L}+)', 1)))
    FROM counts WHERE regexp_matches(chunk, '[''_]')"""
LEAST_LISTED, LEAST_ALONE = 0.3, 3.0  # frequency per million in the list of a word that the shard knows too, and of one that it does not
# Frequency per million of a word that a short form may be: many short forms are words of dialects, of old spelling, of Latin.
LEAST_OF_LENGTH = {3: 500.0, 4: 300.0, 5: 100.0, 6: 20.0}
RATIO, REPEATED = 3.0, 30.0  # how many times as frequent as the form a word must be: as one that occurs once, and as one that comes again
MARGIN = 4.0  # how many times as likely as the next likely word it must be


class MissingWordList(LookupError):
    """The package with the word list is not installed."""


@cache
def word_list() -> Mapping[str, float]:
    """Return {word: frequency per million}. Raise MissingWordList if symspellpy is not installed."""
    try:
        lines = files("symspellpy").joinpath(WORD_LIST).read_text("utf-8-sig").splitlines()
    except ModuleNotFoundError as error:
        raise MissingWordList("clean.ocr_words needs a word list: pip install -e '.[ocr]', or leave it false") from error
    return {word: float(count) / PER_MILLION for word, count in (line.split() for line in lines)}


def find_misread_words(connection: duckdb.DuckDBPyConnection) -> None:
    """Add what the model finds among table words to table misread (wrong, right_word, sure).

    Fill tables modelled (wrong, right_word) and word_list (word), which tell the documents to correct."""
    rows = connection.execute("SELECT word, times, small FROM words WHERE regexp_full_match(word, '[a-z]+')").fetchall()
    times = {str(word): int(count) for word, count, _ in rows}
    small = {str(word): int(count) for word, _, count in rows}
    for (part,) in connection.execute(BESIDE).fetchall():
        small.pop(str(part), None)
    found = sorted(misread(times, small))
    table = pa.table({"wrong": pa.array([a for a, _ in found], pa.string()), "right_word": pa.array([b for _, b in found], pa.string())})
    connection.register("modelled_words", table)
    connection.execute("CREATE OR REPLACE TEMP TABLE modelled AS FROM modelled_words ANTI JOIN misread USING (wrong)")
    connection.execute("INSERT INTO misread SELECT wrong, right_word, false FROM modelled")
    connection.unregister("modelled_words")
    connection.register("listed_words", pa.table({"word": pa.array(list(word_list()), pa.string())}))
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS word_list AS FROM listed_words")
    connection.unregister("listed_words")


def misread(times: Mapping[str, int], small: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield (form, word) of a vocabulary in small letters; `times`: how often each form occurs, `small`: without a capital,
    of those that may be misread."""
    listed = word_list()
    total = max(sum(times.values()), 1)
    for form, count in times.items():
        if not SHORTEST <= len(form) <= LONGEST or form in listed or 2 * small.get(form, 0) < count or _is_built(form, listed):
            continue
        likely = sorted(((_likelihood(word, times, total, listed), word) for word in _candidates(form, listed)), reverse=True)
        likely = [one for one in likely if one[0] > -math.inf]
        if not likely or _is_spelling(form, likely[0][1]):
            continue
        best, word = likely[0]
        clear = len(likely) == 1 or best - likely[1][0] >= math.log(MARGIN)
        known = times.get(word, 0)
        common = math.exp(best) >= LEAST_OF_LENGTH.get(len(form), 0.0)
        if clear and common and (known >= (RATIO if count == 1 else REPEATED) * count or (count == 1 and listed[word] >= LEAST_ALONE)):
            yield form, word


def _candidates(form: str, listed: Mapping[str, float]) -> set[str]:
    """Return the words of the list that one confusion turns into the form."""
    found: set[str] = set()
    for seen, meant in CONFUSED:
        place = form.find(seen)
        while place >= 0:
            word = form[:place] + meant + form[place + len(seen) :]
            if word in listed:
                found.add(word)
            place = form.find(seen, place + 1)
    return found


def _likelihood(word: str, times: Mapping[str, int], total: int, listed: Mapping[str, float]) -> float:
    known = times.get(word, 0)
    if listed[word] < (LEAST_LISTED if known else LEAST_ALONE):
        return -math.inf
    return math.log((known * PER_MILLION / total + listed[word]) / 2)


def _is_built(form: str, listed: Mapping[str, float]) -> bool:
    """Return whether a form is a known word with an ending or a beginning, or two known words."""
    stems = [form[: -len(ending)] for ending in ENDINGS if form.endswith(ending) and len(form) - len(ending) >= PART]
    stems += [stem[:-1] for stem in stems if len(stem) > PART and stem[-1] == stem[-2]]
    stems += [stem[:-2] + "our" for stem in stems if stem.endswith("or")]
    stems += [form[:-3] + "y"] if form.endswith(("ies", "ied")) and len(form) > PART + 2 else []
    stems += [form[len(some) :] for some in BEGINNINGS if form.startswith(some) and len(form) - len(some) > PART]
    if any(stem in listed for stem in stems):
        return True
    return any(form[:place] in listed and form[place:] in listed for place in range(PART + 1, len(form) - PART))


def _is_spelling(form: str, word: str) -> bool:
    """Return whether a form is a word, or its plural, with another of two endings that sound alike."""
    one, other = (form[:-1], word[:-1]) if form.endswith("s") and word.endswith("s") else (form, word)
    return any(one.endswith(seen) and other.endswith(meant) and one[: -len(seen)] == other[: -len(meant)] for seen, meant in SPELLINGS)
