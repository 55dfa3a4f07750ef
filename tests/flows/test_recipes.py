"""The recipes that come with folio explain every key in the code's own words, and writing a recipe loses nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from flows.cli.planning import stages
from flows.recipe.commented_yaml import EXECUTION, commented
from flows.recipe.loading import built_in, load


def head(path: Path) -> str:
    """The comment lines that a recipe file begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line.removeprefix("#").strip() for line in lines[: lines.index("")])


@pytest.mark.parametrize("name", built_in())
def test_a_recipe_file_is_what_the_code_would_write_so_its_comments_cannot_drift(name: str) -> None:
    path = built_in()[name]
    recipe = load(name).model_copy(update={"root": "."})
    assert path.read_text(encoding="utf-8") == commented(recipe, head(path)), f"write commented(load({name!r}), its head) into {path}"


@pytest.mark.parametrize("name", built_in())
def test_every_key_of_a_recipe_file_has_words_above_it(name: str) -> None:
    lines = [line.strip() for line in built_in()[name].read_text(encoding="utf-8").splitlines()]
    keys = [i for i, line in enumerate(lines) if line and not line.startswith(("#", "- "))]
    assert len(keys) > 100
    assert not [lines[i] for i in keys if not lines[i - 1].removeprefix("- ").startswith("# ")]


@pytest.mark.parametrize("name", built_in())
def test_a_recipe_written_and_read_back_is_equal(name: str, tmp_path: Path) -> None:
    recipe = load(name).model_copy(update={"root": str(tmp_path), "store": "memory://x"})
    (tmp_path / "copy.yaml").write_text(commented(recipe, "A copy."), encoding="utf-8")
    assert load(str(tmp_path / "copy.yaml")) == recipe


@pytest.mark.parametrize("name", built_in())
def test_a_recipe_file_sets_every_key_but_those_of_the_machine(name: str) -> None:
    given_keys = set(yaml.safe_load(built_in()[name].read_text(encoding="utf-8")))
    assert set(type(load(name)).model_fields) - given_keys <= {*EXECUTION, "resources"}


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


class Wordless(BaseModel):
    bare: int = 1


class Section(BaseModel):
    section: Wordless = Field(Wordless(), description="")


@pytest.mark.parametrize("model", [Wordless(), Section()])
def test_a_key_without_words_is_refused_by_name(model: BaseModel) -> None:
    with pytest.raises(ValueError, match=r"(Wordless.bare|Section.section) has no description, so a recipe can't explain it"):
        commented(model, "")


def test_the_stages_that_a_plan_knows_are_those_of_the_pipeline() -> None:
    assert {"ingest", "clean", "dedup", "split", "pretrain", "sft", "dpo", "evaluate", "gate", "export"} <= set(stages())
