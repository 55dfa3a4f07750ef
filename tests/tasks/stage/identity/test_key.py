"""A key is a function of its ingredients alone, and different configurations have different ingredients."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretBytes, SecretStr

from tasks.stage.identity.key import KEY_DIGITS, UnstableValue, compute_address, compute_key, flatten, stable

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4)
NAMES = st.text(st.sampled_from('ab.[]0"é '), max_size=4)
DATA = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    beta: float = 0.5


class Outer(BaseModel):
    names: tuple[str, ...] = ("a", "b")
    inner: Inner = Inner()
    colour: Colour = Colour.RED
    weights: dict[str, float] = {}


@settings(max_examples=200, deadline=None)
@given(one=DATA, other=DATA)
def test_different_data_never_have_the_same_entries(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (flatten(one, "s") == flatten(other, "s")) == same


ALIKE = [({"a.b": 1}, {"a": {"b": 1}}), ({"a": [{"b": 1}]}, {"a": {"[0]": {"b": 1}}}), ({"a": []}, {"a": {}}), ({"a": None}, {})]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_names_that_look_like_paths_are_told_from_paths(one: object, other: object) -> None:
    assert flatten(one, "s") != flatten(other, "s")


def test_a_model_becomes_plain_data_with_a_dotted_name_for_each_leaf() -> None:
    assert flatten(stable(Outer(weights={"b": 1.0, "a": 2.0}), "clean"), "clean") == {
        "clean.colour": '"red"',
        "clean.inner.beta": "0.5",
        "clean.names": '["a", "b"]',
        "clean.weights.a": "2.0",
        "clean.weights.b": "1.0",
    }


def test_the_order_in_which_a_mapping_was_filled_is_no_identity() -> None:
    assert stable(Outer(weights={"b": 1.0, "a": 2.0}), "s") == stable(Outer(weights={"a": 2.0, "b": 1.0}), "s")


REFUSED = [
    *({1, 2}, frozenset({1}), b"bytes", range(3), {"a": 1}.keys(), Ellipsis),
    *(Path("x"), datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1), timedelta(1), Decimal("1.0"), Fraction(1, 2), 1j, UUID(int=7)),
    *(math.nan, math.inf, -math.inf, 2**2000, "\ud800", {1: "a"}, {("a",): 1}, {None: 1}, {True: 1}),
    *(SecretStr("hidden"), SecretBytes(b"hidden")),
]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: f"{type(value).__name__} {value!r}"[:40])
def test_a_value_without_a_stable_form_is_refused_by_name(value: object) -> None:
    with pytest.raises(UnstableValue, match=r"clean\.inner\[1\]: "):
        stable({"inner": [0, value]}, "clean")


def test_a_secret_is_refused_without_being_told() -> None:
    with pytest.raises(UnstableValue) as refused:
        stable({"token": SecretStr("hidden")}, "clean")
    assert "hidden" not in str(refused.value)


DIFFERENT = [
    1,
    1.0,
    True,
    "1",
    "1.0",
    "true",
    None,
    "null",
    0.0,
    -0.0,
    0,
    False,
    "",
    [],
    {},
    [1],
    ["1"],
    [[1]],
    {"1": 1},
    "é",
    "e\u0301",
    2**64,
]


def test_values_that_look_alike_have_different_entries() -> None:
    entries = [json.dumps(flatten(stable(value, "s"), "s")) for value in DIFFERENT]
    assert len(set(entries)) == len(DIFFERENT)


class Steps(int):
    def __str__(self) -> str:
        return "steps"


class Size(Enum):
    SMALL = 16


class Open(BaseModel, extra="allow"):
    a: int = 1


@pytest.mark.parametrize(
    ("value", "same"), [(Steps(3), 3), (np.float64(0.1), 0.1), (Size.SMALL, 16), (("a", 1), ["a", 1]), (Open(), {"a": 1})]
)
def test_a_value_has_the_entries_of_the_plain_value_it_is(value: object, same: object) -> None:
    assert flatten(stable(value, "s"), "s") == flatten(stable(same, "s"), "s")


def test_what_a_model_holds_beyond_its_fields_counts() -> None:
    assert stable(Open.model_validate({"a": 1, "b": 2}), "s") == {"a": 1, "b": 2}


def test_a_files_name_that_is_no_text_has_a_key() -> None:
    assert compute_key("ingest", {"observed.caf\udce9.txt": "1"}) != compute_key("ingest", {"observed.caf\udce8.txt": "1"})


def test_a_key_is_equal_in_every_process_and_whatever_the_order_of_its_ingredients() -> None:
    code = "from tasks.stage.identity.key import compute_key; print(compute_key('clean', {'b': '\u00e9', 'a': '1'}))"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"})
    assert elsewhere.stdout.strip() == compute_key("clean", {"a": "1", "b": "é"})


def test_a_key_changes_with_the_stage_and_with_every_ingredient() -> None:
    calls = [("clean", {"a": "1"}), ("dedup", {"a": "1"}), ("clean", {"a": "2"}), ("clean", {"b": "1"}), ("clean", {})]
    keys = [compute_key(stage, ingredients) for stage, ingredients in calls]
    assert len(set(keys)) == len(keys)


def test_an_address_begins_as_its_key_does_and_differs_with_key_and_trace() -> None:
    keys, traces = [f"{number:064x}" for number in range(2)], ["a" * 64, "b" * 64]
    addresses = {compute_address(key, trace) for key in keys for trace in traces}
    assert len(addresses) == 4
    assert {len(address) for address in addresses} == {64}
    assert all(compute_address(key, "a" * 64).startswith(key[:KEY_DIGITS]) for key in keys)
