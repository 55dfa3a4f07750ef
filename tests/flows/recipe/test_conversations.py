"""Recipes with conversations: what contradicts what."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from flows.recipe.schema import Recipe

CHATS = {"kind": "files", "name": "chats", "paths": ["chats"]}


def recipe(examples: dict[str, Any], **sections: Any) -> Recipe:
    """A recipe with books and conversations."""
    given = {"name": "talks", "ingest": {"sources": [{"kind": "files", "paths": ["books"]}]}, **sections}
    return Recipe.model_validate({**given, "examples": {"kind": "conversations", "sources": [CHATS], **examples}})


def test_conversations_alone_or_mixed_make_a_recipe() -> None:
    assert recipe({}).examples.kind == "conversations"
    mixed = recipe({"generated": {"kind": "corpus"}}, evaluate={"chat": {"questions": True}})
    assert mixed.exporting.licences == {"files": "not stated", "chats": "not stated"}


@pytest.mark.parametrize(
    ("examples", "sections", "named"),
    [
        ({"sources": [{**CHATS, "name": "files"}]}, {}, "examples.sources and ingest.sources have one called 'files' each"),
        ({"generated": {"kind": "universe"}}, {}, "examples.generated.kind=universe needs a source of kind universe"),
        ({}, {"evaluate": {"base": {"questions": True}}}, "evaluate.base.questions=true asks questions, and examples.generated=null"),
        ({}, {"tuning": [{"kind": "grpo"}]}, r"tuning\[0\] \(grpo\) asks questions"),
        ({"sources": [CHATS, CHATS]}, {}, "two are called 'chats'"),
        ({"sources": [{**CHATS, "shape": "vicuna"}]}, {}, "shape"),
        ({"sources": [{**CHATS, "formats": ["txt"]}]}, {}, "formats"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(examples: dict[str, Any], sections: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        recipe(examples, **sections)
