"""Texts from templates: every way to fill the slots once, chosen by a seed; broken grammars are refused by name."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.synthetic.config import Grammar, TemplatesMaker
from data.synthetic.text_table import generate_texts

LISTS = {"who": ("Ann", "{kin} Bo", "Cy"), "kin": ("aunt", "uncle"), "what": ("sings", "eats {{all}}")}
TEMPLATES = ("{who} {what}.", "{kin} and {kin}", "Silence.")
WHO = ("Ann", "aunt Bo", "uncle Bo", "Cy")
EVERY = (
    {f"{who} {what}." for who, what in product(WHO, ("sings", "eats {all}"))}
    | {f"{a} and {b}" for a, b in product(LISTS["kin"], repeat=2)}
    | {"Silence."}
)


def maker(count: int = 1, **more: object) -> TemplatesMaker:
    return TemplatesMaker.model_validate({"templates": TEMPLATES, "lists": LISTS, "count": count, **more})


def test_a_grammar_makes_every_way_to_fill_the_slots_once() -> None:
    grammar = Grammar(TEMPLATES, LISTS)
    texts = [grammar.text(number) for number in range(grammar.size)]
    assert len(texts) == len(set(texts)) and set(texts) == EVERY


@given(st.integers(1, len(EVERY)), st.integers(0, 100))
def test_texts_are_different_and_those_of_a_smaller_count_come_first(count: int, seed: int) -> None:
    texts = list(generate_texts(maker(count, seed=seed)))
    assert len(texts) == len(set(texts)) == count and set(texts) <= EVERY
    assert texts == list(generate_texts(maker(len(EVERY), seed=seed)))[:count]


def test_a_seed_gives_the_same_texts_and_another_seed_others() -> None:
    assert list(generate_texts(maker(6, seed=1))) == list(generate_texts(maker(6, seed=1))) != list(generate_texts(maker(6, seed=2)))


def test_a_grammar_far_larger_than_a_machine_word_is_drawn_from_without_being_made() -> None:
    digits = {"d": tuple("0123456789")}
    texts = list(generate_texts(maker(50, templates=("{d}" * 60,), lists=digits)))
    assert len(set(texts)) == 50 and all(re.fullmatch("[0-9]{60}", text) for text in texts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"templates": ("{whom} sings",)}, r"slot \{whom\} names no list with entries \(lists: kin, what, who\)"),
        ({"templates": ("{who",)}, r"a template can't be read: '\{who'"),
        ({"templates": ("{who.name}",)}, r"a slot is \{name\} and nothing more, not \{who.name\}"),
        ({"templates": ("{who!r}",)}, r"a slot is \{name\} and nothing more, not \{who\}"),
        ({"lists": {"who": ("{kin}",), "kin": ("{what}",), "what": ("a", "{kin}")}}, r"\(kin -> what -> kin\).*break the cycle"),
        ({"lists": LISTS | {"idle": ("x",)}}, "list 'idle' is in no slot"),
        ({"lists": LISTS | {"kin": ()}}, r"slot \{kin\} names no list with entries"),
        ({"count": 14}, "count=14 asks for more texts than these templates and lists make: 13"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maker(**{"count": 1, **change})  # type: ignore[arg-type]


def test_ways_that_read_the_same_count_once() -> None:
    same = maker(3, templates=("{a}{b}",), lists={"a": ("x", "xx"), "b": ("x", "xx")})
    assert sorted(generate_texts(same)) == ["xx", "xxx", "xxxx"]
    with pytest.raises(ValueError, match="templates make 4 texts of which only 3 differ, and count=4 asks for more"):
        list(generate_texts(same.model_copy(update={"count": 4})))
