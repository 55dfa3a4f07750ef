"""The reference of recipe keys says what the schema says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from flows.recipe import reference
from flows.recipe.schema import Recipe

TEXT = reference.FILE.read_text(encoding="utf-8")
HEADINGS = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)


class Undescribed(BaseModel):
    """A section with a key that nobody explains."""

    key: int = 1
    path: Path = Field(Path(), description="a type that has no word")


def sections(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """Every section that a recipe can have, in any kind."""
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            for inside in reference.models_in(field.annotation):
                sections(inside, seen)
    return seen


def test_the_file_is_what_the_schema_says() -> None:
    assert reference.reference() == TEXT, f"write it again: {reference.COMMAND}"


def test_every_key_of_every_kind_of_section_has_a_line_with_its_default() -> None:
    lines = {
        (key.split(".")[-1], default)
        for key, default in re.findall(r"^\| `([^`]+)` \| .* \| (\S.*?) \| [^|]* \| .*\|$", TEXT, re.MULTILINE)
    }
    for model in sections(Recipe, set()):
        for name, field in model.model_fields.items():
            if name != "kind" and not reference.models_in(field.annotation):
                assert (name, reference.default_text(field)) in lines, f"{model.__name__}.{name}"


def test_sections_stand_in_the_order_of_a_recipe_and_links_lead_to_headings() -> None:
    top = [name for heading in re.findall(r"^## (.+)$", TEXT, re.MULTILINE) for name in heading.split(", ")]
    assert top == [*Recipe.model_fields, reference.METRICS_TITLE]
    assert len(set(HEADINGS)) == len(HEADINGS)
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= {reference.anchor(heading) for heading in HEADINGS}


@pytest.mark.parametrize(("name", "message"), [("key", "Undescribed.key has no description"), ("path", "Undescribed.path: no word for")])
def test_a_key_that_cannot_be_explained_is_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reference.row(name, Undescribed.model_fields[name], Undescribed)


def test_check_tells_a_stale_file_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "REFERENCE.md"
    monkeypatch.setattr(reference, "FILE", file)
    file.write_text("old")
    assert reference.main(["--check"]) == 1 and file.read_text() == "old"
    assert reference.main([]) == 0 and reference.main(["--check"]) == 0 and file.read_text() == TEXT
