"""A key that would do nothing is refused by name, and a switch alone can always be turned."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import BaseModel

from flows.recipe.loading import built_in, load
from flows.recipe.schema import Recipe
from flows.recipe.shorthands import unused_keys
from flows.recipe.validation import RecipeError


def models(annotation: object) -> set[type[BaseModel]]:
    """Every config class that a recipe is made of."""
    inside = [inner for part in get_args(annotation) for inner in models(part)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        return {annotation, *inside, *(inner for field in fields for inner in models(field.annotation))}
    return set(inside)


@pytest.mark.parametrize(
    ("recipe", "switch", "key", "named"),
    [
        ("universe", "clean.ocr=false", "clean.ocr_known=5", "clean.ocr_known=5 does nothing while clean.ocr=false; .* its default, 3"),
        ("universe", "dedup.near.enabled=false", "dedup.near.rows=5", "dedup.near.rows=5 .* dedup.near.enabled=false; .* default, 4"),
        ("universe", "ingest.sources[0].dirty=false", "ingest.sources[0].ocr_rate=0.1", r"ingest.sources\[0\].ocr_rate=0.1 does nothing"),
        ("universe", "sft.eval_rows=0", "sft.eval_every=5", "sft.eval_every=5 does nothing while sft.eval_rows=0"),
        (
            "universe",
            "resources.runner=threads",
            "resources.cluster=tcp://h:1",
            "cluster=.* does nothing while resources.runner=.threads.;",
        ),
        (
            "universe",
            "model.pattern=full",
            "model.window=32",
            'model.window=32 does nothing while model.pattern="full"; .* default, 64',
        ),
        (
            "universe",
            "model.rope_scaling=linear",
            "model.rope_beta_fast=9",
            'rope_beta_fast=9.0 .* model.rope_scaling="linear"',
        ),
        ("universe", "pretrain.optimizer=lion", "pretrain.epsilon=1e-6", 'epsilon=1e-06 does nothing while pretrain.optimizer="lion"'),
        ("universe", "sft.schedule=constant", "sft.min_learning_rate_ratio=0", 'ratio=0.0 does nothing while sft.schedule="constant"'),
        ("universe", "pretrain.precision=bf16", "pretrain.loss_scale=2", 'loss_scale=2.0 does nothing while pretrain.precision="bf16"'),
        (
            "four_books",
            "resources.pools={}",
            "resources.pool_wait_minutes=3",
            "pool_wait_minutes=3.0 does nothing while resources.pools={}",
        ),
        (
            "judged",
            "tuning[2].returns={}",
            "tuning[2].returns.horizon=640",
            r"returns.horizon=640 does nothing while tuning\[2\].returns.kl_target=0.0",
        ),
        ("judged", "tuning[2].returns={kl_weight: 0}", "tuning[2].returns.kl_target=2", "returns.kl_target=2.0 does nothing while"),
        (
            "universe",
            "evaluate.chat.thinking={questions: seen}",
            "evaluate.chat.thinking.temperature=0.5",
            r"thinking.temperature=0.5 does nothing while evaluate.chat.thinking.votes=\[\] and evaluate.chat.thinking.best=\[\]",
        ),
        (
            "universe",
            "evaluate.chat.thinking={questions: seen}",
            "evaluate.chat.thinking.seed=3",
            r"thinking.seed=3 does nothing while evaluate.chat.thinking.votes=\[\]",
        ),
        ("four_books", "split.mode=all_train", "split.seed=3", 'split.seed=3 does nothing while split.mode="all_train"'),
    ],
)
def test_a_key_of_something_switched_off_is_refused_with_its_value_and_both_ways_out(
    recipe: str, switch: str, key: str, named: str
) -> None:
    load(recipe, (switch,))
    with pytest.raises(RecipeError, match=named):
        load(recipe, (switch, key))


def test_a_key_that_needs_two_things_at_once_is_refused_while_either_is_missing() -> None:
    given = "decontaminate.against=[{name: exam, paths: [exam.txt]}]"
    assert load("universe", (given, "decontaminate.window=9")).decontaminate.window == 9
    with pytest.raises(RecipeError, match=r"decontaminate.window=9 does nothing while decontaminate.against=\[\]; .* its default, 200"):
        load("universe", ("decontaminate.window=9",))
    with pytest.raises(RecipeError, match=r'decontaminate.window=9 does nothing while decontaminate.action="drop"; '):
        load("universe", (given, "decontaminate.action=drop", "decontaminate.window=9"))


def test_a_key_that_several_rules_need_counts_while_one_of_them_is_on() -> None:
    pages = ("clean.page_lines=20", "clean.repeated_pages=false", "clean.page_numbers=false")
    assert load("universe", pages).clean.page_lines == 20
    with pytest.raises(
        RecipeError, match=r"clean.page_lines=20 does nothing while clean.repeated_pages=false and clean.page_numbers=false and"
    ):
        load("universe", (*pages, "clean.running_heads=false"))


@pytest.mark.parametrize("name", built_in())
def test_no_recipe_that_comes_with_folio_holds_a_key_that_does_nothing(name: str) -> None:
    assert not list(unused_keys(load(name)))


def test_needs_name_fields_of_the_same_class() -> None:
    needing = {model.__name__: model for model in models(Recipe) if getattr(model, "NEEDS", None)}
    assert {"CleanConfig", "SplitConfig", "EvaluateConfig", "UniverseSource", "PretrainConfig"} <= set(needing)
    for name, model in needing.items():
        for field, needs in getattr(model, "NEEDS", {}).items():
            assert {field, *(part.partition("=")[0] for need in needs for part in need.split(" and "))} <= set(model.model_fields), (
                name,
                field,
            )


def test_a_notification_that_nobody_would_get_is_refused() -> None:
    with pytest.raises(RecipeError, match=r'resources\.notify="slack-webhook/team" does nothing while no gate asks a person'):
        load("universe", ("resources.notify=slack-webhook/team",))
    asked = load("universe", ("resources.notify=slack-webhook/team", "gates.release.approve=true"))
    assert asked.resources.notify == "slack-webhook/team"
