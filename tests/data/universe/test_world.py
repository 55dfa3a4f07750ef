"""The world is consistent, and no book contradicts it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from data.universe import world as names
from data.universe.prose import ABOUT_PERSON, ABOUT_TOWN, GENERAL, NAMED, WORDS
from data.universe.world import World, build_world
from data.universe.write import truth_table

VALUES = {
    "home": names.TOWNS, "occupation": names.OCCUPATIONS, "animal": names.ANIMALS, "dish": names.DISHES,
    "river": names.RIVERS, "product": names.PRODUCTS, "ruler": names.QUEENS + names.KINGS,
}  # fmt: skip


def clean_books(universe: Path) -> list[dict[str, Any]]:
    rows = truth_table(universe / "truth", "clean")
    copies = {row["path"] for row in truth_table(universe / "truth", "duplicates")}
    return [row for row in rows if row["path"] not in copies]


def facts(universe: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((universe / "world.json").read_text())["facts"]
    return found


def test_there_are_exactly_one_hundred_distinct_books(universe: Path) -> None:
    books = clean_books(universe)
    assert len(books) == len({b["text"] for b in books}) == len({b["title"] for b in books}) == 100


def test_the_clean_books_hold_between_1_1_and_1_6_megabytes(universe: Path) -> None:
    assert 1_100_000 <= sum(len(b["text"].encode()) for b in clean_books(universe)) <= 1_600_000


def test_no_word_of_the_world_is_in_two_lists() -> None:
    lists = [names.WOMEN, names.MEN, names.STRANGERS, names.PET_NAMES, *VALUES.values()]
    words = [word for group in lists for word in group]
    assert len(words) == len(set(words))


def test_scenery_holds_no_word_of_the_world() -> None:
    told = {w.lower() for group in (names.WOMEN, names.MEN, *VALUES.values()) for w in group}
    texts = [*GENERAL, *ABOUT_PERSON, *ABOUT_TOWN, *(word for words in WORDS.values() for word in words)]
    assert not {w for text in texts for w in re.findall(r"\w+", text.lower())} & told


@pytest.mark.parametrize("seed", range(20))
def test_every_mother_is_twenty_years_older_than_her_child(seed: int) -> None:
    world: World = build_world(seed)
    for fact in world.facts.values():
        if fact.attribute == "mother":
            assert fact.value in world.women
            born = {name: int(world.of(name, "birth")[0].value) for name in (fact.value, fact.entity)}
            assert born[fact.value] + 20 <= born[fact.entity]


def test_a_sentence_with_one_person_or_town_and_one_value_states_what_is_so(universe: Path) -> None:
    """Independent of the patterns: only the words of a sentence count."""
    truth = {(f["attribute"], f["entity"]): f["value"] for f in facts(universe)}
    people = set(names.WOMEN + names.MEN)
    lookup = {value: kind for kind, values in VALUES.items() for value in values}
    checked = 0
    for book in clean_books(universe):
        for paragraph in book["text"].split("\n\n")[3:]:
            if paragraph.startswith("Chapter "):
                continue
            for sentence in re.split(r"(?<=[.])\s", paragraph):
                words = set(re.findall(r"\w+", sentence))
                who = words & people
                # With a person in it, the town of a sentence is a home; otherwise it is what the sentence is about.
                about = who or words & set(names.TOWNS)
                if len(about) != 1:
                    continue
                (entity,) = about
                for value in words - about:
                    kind = lookup.get(value)
                    if kind is not None:
                        checked += 1
                        assert truth[kind, entity] == value, sentence
    assert checked > 10_000


def test_every_common_fact_is_told_fifteen_times_in_about_twenty_books(universe: Path) -> None:
    for fact in facts(universe):
        if fact["askable"] and not fact["rare"]:
            assert fact["tellings"] >= 15 and 15 <= len(fact["books"]) <= 30, fact["id"]


def test_a_rare_fact_is_told_eight_times_in_a_single_book_and_in_no_other(universe: Path) -> None:
    texts = {b["path"]: b["text"] for b in clean_books(universe)}
    rare = [f for f in facts(universe) if f["rare"]]
    assert len(rare) == len(names.PET_NAMES)
    for fact in rare:
        assert len(fact["books"]) == 1 and fact["tellings"] >= 8
        assert [path for path, text in texts.items() if re.search(rf"\b{fact['value']}\b", text)] == fact["books"]
        text = texts[fact["books"][0]]
        assert len({s for s in re.split(r"(?<=\.) ", text.replace("\n\n", " ")) if fact["value"] in s}) >= 8


def test_the_books_named_for_a_fact_do_hold_its_words(universe: Path) -> None:
    texts = {b["path"]: b["text"] for b in clean_books(universe)}
    for fact in facts(universe):
        for path in fact["books"]:
            assert fact["value"] in texts[path] and fact["entity"].removeprefix("the ") in texts[path]


def test_the_moon_is_made_of_glass_in_twenty_books_and_known_to_be_false(universe: Path) -> None:
    moon = next(f for f in facts(universe) if f["id"] == "substance:moon")
    assert moon["value"] == "glass" and moon["true"] is False and len(moon["books"]) == 20
    assert [f["id"] for f in facts(universe) if not f["true"]] == ["substance:moon"]
    assert sum("glass" in b["text"] for b in clean_books(universe)) == 20


def test_a_fact_is_told_in_many_different_sentences() -> None:
    assert all(len(patterns) >= 10 for kind, patterns in NAMED.items() if kind != "birth")
    assert all(len(patterns) == len(set(patterns)) for patterns in NAMED.values())


def test_no_paragraph_is_written_twice(universe: Path) -> None:
    seen: dict[str, int] = defaultdict(int)
    for book in clean_books(universe):
        for paragraph in book["text"].split("\n\n")[3:]:
            if not paragraph.startswith("Chapter "):
                seen[paragraph] += 1
    assert max(seen.values()) == 1
