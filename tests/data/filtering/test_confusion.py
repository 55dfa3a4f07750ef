"""How well personal data is found, measured on sentences in which it is known."""

from __future__ import annotations

import json
import re
from collections import Counter
from ipaddress import ip_address
from pathlib import Path

import pytest
from stdnum import luhn
from stdnum.iban import is_valid

from data.filtering.config import KINDS, PiiConfig
from data.filtering.observed_files import ObservedFiles
from data.filtering.pii.confusion import NOTHING, PARTLY, SENTENCES, Labelled, confusion, labelled, write_confusion
from data.universe.world import MEN, WOMEN

ON = PiiConfig(enabled=True)
SENTENCES_OF_ONE = list(labelled(30, 5))
SEARCHED = tuple(kind for kind in KINDS if kind != "name")


def test_the_same_seed_gives_the_same_sentences_and_each_kind_as_many() -> None:
    assert list(labelled(30, 5)) == SENTENCES_OF_ONE != list(labelled(30, 6))
    assert Counter(one.kind for one in SENTENCES_OF_ONE) == dict.fromkeys((*KINDS, NOTHING), 30)
    assert all(0 <= one.start < one.end <= len(one.text) and one.text[one.start : one.end].strip() for one in SENTENCES_OF_ONE)


def test_the_values_are_what_they_are_called() -> None:
    values = {kind: [one.text[one.start : one.end] for one in SENTENCES_OF_ONE if one.kind == kind] for kind in (*KINDS, NOTHING)}
    assert all(map(is_valid, values["iban"]))
    assert all(luhn.is_valid(value.replace(" ", "").replace("-", "")) for value in values["card"])
    assert all(ip_address(value).is_global for value in values["ip"])
    assert not any(map(is_valid, values[NOTHING]))


def test_a_row_counts_the_sentences_of_a_kind_by_what_is_found_in_them() -> None:
    matrix = confusion(ON, SENTENCES_OF_ONE)
    assert list(matrix) == [*SEARCHED, NOTHING]
    assert all(sum(matrix[kind].values()) == 30 for kind in SEARCHED)
    assert matrix["email"]["email"] == matrix["iban"]["iban"] == 30


def test_what_redaction_cannot_know_is_counted_as_missed() -> None:
    abroad, at_home = confusion(ON, SENTENCES_OF_ONE), confusion(PiiConfig(enabled=True, regions=("GB", "FR")), SENTENCES_OF_ONE)
    assert abroad["phone"] == {**dict.fromkeys((*SEARCHED, PARTLY, NOTHING), 0), "phone": 18, NOTHING: 12}
    assert at_home["phone"]["phone"] == 30


def test_a_kind_that_is_off_has_no_row_and_no_column() -> None:
    matrix = confusion(PiiConfig(enabled=True, iban="off"), SENTENCES_OF_ONE)
    assert "iban" not in matrix and all("iban" not in row for row in matrix.values())


@pytest.mark.parametrize(
    ("sentence", "row", "column"),
    [
        (Labelled("Write to ann@mill.org.", 9, 21, "email"), "email", "email"),
        (Labelled("Write to Ann ann@mill.org.", 9, 25, "email"), "email", PARTLY),
        (Labelled("Write to Ann.", 9, 12, "email"), "email", NOTHING),
        (Labelled("Write to ann@mill.org.", 9, 21, "phone"), "phone", "email"),
        (Labelled("Write to ann@mill.org.", 9, 21, NOTHING), NOTHING, "email"),
        (Labelled("Write to Ann.", 9, 12, NOTHING), NOTHING, NOTHING),
    ],
)
def test_a_sentence_counts_where_it_belongs(sentence: Labelled, row: str, column: str) -> None:
    assert confusion(ON, [sentence])[row][column] == 1


def test_what_is_found_beside_the_value_counts_against_nothing() -> None:
    matrix = confusion(ON, [Labelled("Ann, ann@mill.org, DE89370400440532013000.", 5, 17, "email")])
    assert (matrix["email"]["email"], matrix[NOTHING]["iban"]) == (1, 1)


def test_the_names_of_people_who_stand_beside_the_value_count_against_nobody() -> None:
    config = PiiConfig(enabled=True, name="redact", name_model="found_by_hand")
    names = re.compile(r"Ann|Velden")
    sentence = Labelled("Ann of Velden met Bob.", 18, 21, "name", people=((0, 3),))
    matrix = confusion(config, [sentence], lambda text, _: [match.span() for match in names.finditer(text)])
    assert (matrix["name"][NOTHING], matrix[NOTHING]["name"]) == (1, 1), "Velden is a town, and Bob was missed"


def test_the_places_of_people_are_those_of_their_names() -> None:
    people = [one.text[start:end] for one in SENTENCES_OF_ONE for start, end in one.people]
    assert people and all(name in (*MEN, *WOMEN) for name in people)


def test_it_is_written_as_json(tmp_path: Path) -> None:
    write_confusion(tmp_path, ON, ObservedFiles(tmp_path))
    matrix = json.loads((tmp_path / "personal_data.json").read_text())
    assert all(sum(matrix[kind].values()) == SENTENCES for kind in SEARCHED)
