"""The published heuristics: SQL against plain Python over any text, and each rule on a text that fails it alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.documents.database import Database, open_database
from data.filtering import heuristics
from data.filtering.batch import WHITE, Batch
from data.filtering.heuristics import Threshold, format_number
from data.filtering.published import FineWeb, GopherQuality, GopherRepetition
from tests.data.filtering import reference
from tests.data.filtering.filter_runner import run

PIECES = st.sampled_from(
    ["the", "be", "To", "of", "and", "That", "mill", "river,", "12", "#", "...", "…", "•", "- ", "* ", "é", "ж1", "水", "so.",
     '"Go!"', "(so?)", " ", " ", " ", "  ", "\t", "\u00a0", "\u2003", "\r\n", "\n", "\n", "\n\n", "\n \n", "the river ran", "a a a a",
     "the mill stood by the river ran on\n"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=60).map("".join)
SHARE = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
# The reference is independent of the SQL, so the names of the rules and their order are repeated here.
QUALITY = [
    ("gopher words", "words", "<", "minimum_words"), ("gopher words", "words", ">", "maximum_words"),
    ("gopher word length", "mean_word_length", "<", "minimum_word_length"),
    ("gopher word length", "mean_word_length", ">", "maximum_word_length"),
    ("gopher hashes", "hashes_a_word", ">", "maximum_hashes"), ("gopher ellipses", "ellipses_a_word", ">", "maximum_ellipses"),
    ("gopher bullet lines", "bullet_lines", ">", "maximum_bullet_lines"),
    ("gopher ellipsis lines", "ellipsis_lines", ">", "maximum_ellipsis_lines"),
    ("gopher alphabetic words", "alphabetic_words", "<", "minimum_alphabetic_words"),
    ("gopher stop words", "stop_words", "<", "minimum_stop_words"),
]  # fmt: skip
REPETITION = [
    ("gopher duplicate lines", "duplicate_lines", ">", "lines"),
    ("gopher duplicate paragraphs", "duplicate_paragraphs", ">", "paragraphs"),
    ("gopher duplicate line characters", "duplicate_line_characters", ">", "line_characters"),
    ("gopher duplicate paragraph characters", "duplicate_paragraph_characters", ">", "paragraph_characters"),
    *((f"gopher top {n}-grams", f"top_{n}_grams", ">", f"top_{n}_grams") for n in (2, 3, 4)),
    *((f"gopher repeated {n}-grams", f"repeated_{n}_grams", ">", f"repeated_{n}_grams") for n in range(5, 11)),
]
FINEWEB = [
    ("fineweb punctuated lines", "punctuated_lines", "<=", "minimum_punctuated_lines"),
    ("fineweb duplicate characters", "duplicate_characters", ">=", "maximum_duplicate_characters"),
    ("fineweb short lines", "short_lines", ">=", "maximum_short_lines"),
]
QUALITIES = st.builds(
    GopherQuality,
    minimum_words=st.integers(0, 3), maximum_words=st.integers(10, 60), minimum_word_length=st.sampled_from([0.0, 1.5, 2.5]),
    maximum_word_length=st.sampled_from([3.0, 5.0]), maximum_hashes=SHARE, maximum_ellipses=SHARE, maximum_bullet_lines=SHARE,
    maximum_ellipsis_lines=SHARE, minimum_alphabetic_words=SHARE, minimum_stop_words=st.integers(0, 4),
)  # fmt: skip
REPETITIONS = st.builds(GopherRepetition, **{name: SHARE for _, _, _, name in REPETITION})
FINEWEBS = st.builds(
    FineWeb, minimum_punctuated_lines=SHARE, maximum_duplicate_characters=SHARE.filter(bool), maximum_short_lines=SHARE.filter(bool),
    short_line=st.integers(1, 20),
)  # fmt: skip
Measure = Callable[[str], dict[str, float | None]]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with open_database(tmp_path_factory.mktemp("scratch"), threads=1, memory="500MB") as work:
        work.set_variables(white=WHITE)
        yield work


def _expected(text: str, config: Any, rules: list[tuple[str, str, str, str]], measure: Measure) -> tuple[str, str] | None:
    measured = measure(text)
    for rule, name, sign, key in rules:
        bound = Threshold(rule, name, sign, getattr(config, key))
        value = measured[name]
        if value is not None and bound.failed(value):
            return rule, bound.detail(value)
    return None


def _agree(work: Database, texts: list[str], config: Any, step: Callable[[Batch], None], rules: Any, measure: Measure) -> None:
    batch = Batch(work, [{"text": text, "metadata": "{}"} for text in texts])
    step(batch)
    assert [document.removal for document in batch.documents] == [_expected(text, config, rules, measure) for text in texts]


@settings(max_examples=25)
@given(texts=st.lists(TEXTS, min_size=1, max_size=12), config=QUALITIES)
def test_gophers_quality_rules_equal_plain_python_on_any_text(work: Database, texts: list[str], config: GopherQuality) -> None:
    _agree(work, texts, config, heuristics.gopher_quality(config), QUALITY, reference.gopher_quality)


@settings(max_examples=20)
@given(texts=st.lists(TEXTS, min_size=1, max_size=12), config=REPETITIONS)
def test_gophers_repetition_rules_equal_plain_python_on_any_text(work: Database, texts: list[str], config: GopherRepetition) -> None:
    _agree(work, texts, config, heuristics.gopher_repetition(config), REPETITION, reference.gopher_repetition)


@settings(max_examples=25)
@given(texts=st.lists(TEXTS, min_size=1, max_size=12), config=FINEWEBS)
def test_finewebs_rules_equal_plain_python_on_any_text(work: Database, texts: list[str], config: FineWeb) -> None:
    _agree(work, texts, config, heuristics.fineweb(config), FINEWEB, lambda text: reference.fineweb(text, config.short_line))


PROSE = "The miller went to the river with his dog, and he said that they have to be home before the rain. " * 3
GOOD = """The river ran past the mill and under the old stone bridge, where children came in summer to catch small fish.
A dog slept all day in the sun, and woke only when some cart went over the stones above it.
Nobody in that village could have told you how long the wheel had turned; it was older than the church.
With the first frost of the year it stopped, and one miller's daughter heard the silence before she knew its name."""
SPOKEN = " ".join(f"The {a}{b} ran to the {b}{a} of it." for a in ("mill", "well", "barn", "weir") for b in ("stone", "grass", "light"))
FAILING = [
    ("gopher_quality", "Too few words.", "gopher words", "words 3 < 50"),
    ("gopher_quality", PROSE * 2000, "gopher words", "words 126000 > 100000"),
    ("gopher_quality", PROSE + "x" * 2000, "gopher word length", "mean_word_length 34.8594 > 10"),
    ("gopher_quality", PROSE + "a " * 200, "gopher word length", "mean_word_length 1.63878 < 3"),
    ("gopher_quality", PROSE + "tag# " * 20, "gopher hashes", "hashes_a_word 0.240964 > 0.1"),
    ("gopher_quality", PROSE + "so... " * 20, "gopher ellipses", "ellipses_a_word 0.240964 > 0.1"),
    ("gopher_quality", "\n".join(f"- {line} and that is it" for line in SPOKEN.split(". ")), "gopher bullet lines", "bullet_lines 1 > 0.9"),
    ("gopher_quality", PROSE.replace(". ", "…\n") + PROSE * 2, "gopher ellipsis lines", "ellipsis_lines 0.75 > 0.3"),
    ("gopher_quality", PROSE + "1914 " * 40, "gopher alphabetic words", "alphabetic_words 0.61165 < 0.8"),
    ("gopher_quality", "Das Wasser lief am Haus vorbei " * 20, "gopher stop words", "stop_words 0 < 2"),
    ("gopher_repetition", "One.\n" * 3 + SPOKEN, "gopher duplicate lines", "duplicate_lines 0.5 > 0.3"),
    ("gopher_repetition", f"{PROSE} and\nso\n\nOn.\n\n{PROSE} and\nso\n\n1\n\n2", "gopher duplicate line characters", ""),
    ("gopher_repetition", "so it goes " * 30, "gopher top 2-grams", "top_2_grams 0.75 > 0.2"),
    ("gopher_repetition", " But ".join([GOOD.replace("\n", " ")] * 2), "gopher repeated 5-grams", ""),
    ("fineweb", "menu\nhome\nabout us\n" + SPOKEN, "fineweb short lines", "short_lines 0.75 >= 0.67"),
    ("fineweb", "\n".join(["A line of a list that ends in nothing at all"] * 3), "fineweb punctuated lines", "punctuated_lines 0 <= 0.12"),
    ("fineweb", f"{SPOKEN}\n{SPOKEN[:90]}.\n{SPOKEN[:90]}.\n", "fineweb duplicate characters", ""),
    ("length", "", "length characters", "characters 0 < 1"),
    ("symbols", "so <<<>>>|||", "symbols", "symbols 0.818182 > 0.25"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(FAILING)), ids=lambda case: FAILING[case][2].replace(" ", "-"))
def test_a_text_that_fails_a_published_threshold_is_removed_with_its_measure(case: int, tmp_path: Path) -> None:
    group, text, rule, detail = FAILING[case]
    done = run(tmp_path, {"bad": text, "good": GOOD}, {group: {}})
    assert set(done.texts) == {"good"}
    found = done.fates()["bad"]
    assert found[0] == rule and (not detail or found[1] == detail)
    assert done.metrics[f"removed_{rule.replace(' ', '_').replace('-', '_')}"] == 1


def test_length_bounds_come_from_the_recipe(tmp_path: Path) -> None:
    bounds = {"minimum_words": 2, "maximum_words": 4, "minimum_characters": 3, "maximum_characters": 30}
    texts = {"a": "one", "b": "one two", "c": "one two three four five", "d": "x" * 20 + " " + "y" * 20, "e": "1"}
    assert {name: rule for name, (rule, _) in run(tmp_path, texts, {"length": bounds}).fates().items()} == {
        "a": "length words", "b": "", "c": "length words", "d": "length characters", "e": "length characters",
    }  # fmt: skip


@pytest.mark.parametrize(("value", "shown"), [(100_000, "100000"), (0.3, "0.3"), (11.2, "11.2"), (2 / 3, "0.666667"), (10.0, "10")])
def test_measures_are_formatted_for_people(value: float, shown: str) -> None:
    assert format_number(value) == shown
