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


@pytest.mark.parametrize(
    ("examples", "step", "named"),
    [
        ({}, {"kind": "sft", "select": "best"}, "select=best needs validation rows of sft, and examples.validation_fraction=0"),
        ({}, {"kind": "dpo", "guards": {"patience": 2}}, r"tuning\[0\].guards.patience=2 needs validation rows of dpo"),
        ({}, {"kind": "sft", "gate": {"most_right_lost": None}}, r"tuning\[0\].gate needs validation rows of sft"),
        (
            {"generated": {"kind": "corpus", "validation_fraction": 0}},
            {"kind": "sft", "select": "best"},
            "examples.validation_fraction=0 and examples.generated.validation_fraction=0 leaves none",
        ),
    ],
)
def test_a_step_that_needs_validation_is_refused_where_nothing_is_held_out(
    examples: dict[str, Any], step: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        recipe({"validation_fraction": 0, **examples}, tuning=[step])
    assert recipe({"validation_fraction": 0.1, **examples}, tuning=[step]).tuning


def test_without_validation_rows_a_step_trains_and_the_last_wording_of_a_universe_is_still_validated_on() -> None:
    assert recipe({"validation_fraction": 0}, tuning=[{"kind": "sft"}, {"kind": "dpo"}]).tuning
    universe = {"name": "world", "ingest": {"sources": [{"kind": "universe"}]}, "examples": {"kind": "universe", "validation_fraction": 0}}
    assert Recipe.model_validate({**universe, "tuning": [{"kind": "sft", "select": "best"}]}).tuning
    with pytest.raises(ValidationError, match=r"tuning\[0\].select=best needs validation rows of orpo, and examples.validation_fraction=0"):
        Recipe.model_validate({**universe, "tuning": [{"kind": "orpo", "select": "best"}]})
    on_test = {"splits": ["test"]}
    measured = dict.fromkeys(("base", "chat", "release"), on_test)
    with pytest.raises(ValidationError, match=r"pretrain.select=best needs validation rows, and split.val=0"):
        recipe({}, split={"train": 0.9, "val": 0, "test": 0.1}, pretrain={"select": "best"}, evaluate=measured, baseline=on_test)
