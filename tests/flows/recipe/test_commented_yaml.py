"""A recipe shown whole explains every key in the code's own words and loses nothing; a short one holds what is asked for."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from flows.recipe.commented_yaml import MACHINE, MARK, commented, short_yaml
from flows.recipe.loading import built_in, load


@pytest.mark.parametrize("name", built_in())
def test_every_key_of_a_whole_recipe_is_explained_above_it(name: str) -> None:
    lines = [line.strip() for line in commented(load(name), "Whole.").splitlines()]
    keys = [i for i, line in enumerate(lines) if line and not line.startswith(("#", "- "))]
    assert len(keys) > 100
    assert not [lines[i] for i in keys if not lines[i - 1].removeprefix("- ").startswith("# ")]


@pytest.mark.parametrize("name", built_in())
def test_a_recipe_written_and_read_back_is_equal(name: str, tmp_path: Path) -> None:
    recipe = load(name).model_copy(update={"root": str(tmp_path), "store": "memory://x"})
    (tmp_path / "copy.yaml").write_text(commented(recipe, "A copy."), encoding="utf-8")
    assert load(str(tmp_path / "copy.yaml")) == recipe


@pytest.mark.parametrize("name", built_in())
def test_a_whole_recipe_has_every_key_but_those_of_the_machine(name: str) -> None:
    recipe = load(name).model_copy(update={"root": "."})
    assert set(type(recipe).model_fields) - set(yaml.safe_load(commented(recipe, "Whole."))) <= {*MACHINE, "resources"}


class Inner(BaseModel):
    """Some words."""

    numbers: dict[str, float] = Field({}, description="by name")


class Sample(BaseModel):
    text: str = Field("", description="any text")
    number: float = Field(0.0, description="any number")
    texts: tuple[str, ...] = Field((), description="any texts")
    inner: Inner = Inner()


FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(text=TEXTS, number=FINITE, texts=st.lists(TEXTS, max_size=3), numbers=st.dictionaries(TEXTS, FINITE, max_size=2))
def test_any_text_and_any_number_survive_being_written(text: str, number: float, texts: list[str], numbers: dict[str, float]) -> None:
    sample = Sample(text=text, number=number, texts=tuple(texts), inner=Inner(numbers=numbers))
    data = yaml.safe_load(commented(sample, "Any."))
    assert Sample.model_validate(data) == sample
    assert all(isinstance(value, float) for value in (data["number"], *data["inner"]["numbers"].values()))
    assert math.copysign(1, data["number"]) == math.copysign(1, number)
    short = yaml.safe_load(short_yaml(sample, "Any.", {"text": "why", "inner.numbers": ""}))
    assert short == {"text": text, "inner": {"numbers": numbers}}


def test_only_what_differs_from_its_default_is_marked_with_that_default() -> None:
    text = commented(Sample(number=2.0, texts=("a" * 60,)), "Marked.")
    assert [line for line in text.splitlines() if MARK in line] == [
        f"number: 2.0  {MARK} default: 0.0",
        f'texts: ["{"a" * 60}"]  {MARK} default: []',
    ]


class Wordless(BaseModel):
    bare: int = 1


class Section(BaseModel):
    section: Wordless = Field(Wordless(), description="")


@pytest.mark.parametrize("model", [Wordless(), Section()])
def test_a_key_without_a_description_is_refused_by_name(model: BaseModel) -> None:
    with pytest.raises(ValueError, match=r"(Wordless.bare|Section.section) has no description, so a recipe can't explain it"):
        commented(model, "")
