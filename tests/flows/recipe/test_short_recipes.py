"""A person writes what differs: short recipes load, build on others, and say the same as long ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.cli.commands.recipe import diff_recipes, recipe_schema, show_recipe
from flows.recipe.commented_yaml import MACHINE, differences
from flows.recipe.initialize import propose, reasons
from flows.recipe.loading import built_in, load
from flows.recipe.schema import Recipe
from flows.recipe.shorthands import LISTS
from flows.recipe.validation import RecipeError
from tests.flows.recipe.machines import MACHINE_AT_HAND

SHORT = "name: mine\ningest: {sources: [{kind: files, name: mine, paths: [books]}]}\n"


def write(folder: Path, **files: str) -> str:
    """Write recipe files; return the path of the first."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return str(folder / f"{next(iter(files))}.yaml")


def test_a_name_and_sources_are_a_recipe(tmp_path: Path) -> None:
    recipe = load(write(tmp_path, mine=SHORT))
    assert {difference.path for difference in differences(recipe)} == {"name", "ingest.sources", "root"}
    assert recipe.exporting.card.name == "mine"
    assert recipe.evaluate.release.splits == ("val", "test")


@pytest.mark.parametrize("name", built_in())
def test_a_recipe_that_comes_with_folio_fits_on_a_page(name: str) -> None:
    assert len(built_in()[name].read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.parametrize(("texts", "size"), [(1, 1000), (10, 20_000), (500, 9_000_000)])
def test_a_proposed_recipe_gives_a_reason_for_all_that_differs_and_fits_on_a_page(tmp_path: Path, texts: int, size: int) -> None:
    recipe, sized = propose(tmp_path, texts, size, MACHINE_AT_HAND)
    assert {difference.path for difference in differences(recipe)} == set(reasons(recipe, texts, sized))
    assert len(reasons(recipe, texts, sized)) < 40


def test_a_recipe_that_sets_every_key_still_loads_to_the_same() -> None:
    curves = tuple(f"{step}.eval_every=0" for step in ("pretrain", "sft", "dpo"))
    long, short = load(str(Path(__file__).with_name("every_key.yaml"))), load("four_books", curves)
    assert long == short.model_copy(update={"root": long.root})


def test_one_key_of_a_section_leaves_the_others_at_that_section_s_own_defaults(tmp_path: Path) -> None:
    changes = "evaluate: {release: {rows: 9}}\ngates: {base: {overrule: because we know why}}\nexamples: {max_words: 20}\n"
    changed, plain = load(write(tmp_path, mine=SHORT + changes)), load(write(tmp_path, plain=SHORT))
    assert changed.evaluate.release.splits == plain.evaluate.release.splits
    assert changed.gates.base.bounds == plain.gates.base.bounds
    assert changed.examples.kind == "corpus"


def test_an_entry_of_a_default_list_can_be_set(tmp_path: Path) -> None:
    (bound,) = load(write(tmp_path, mine=SHORT), ("gates.base.bounds[0].beats=baseline.unigram",)).gates.base.bounds
    assert (bound.metric, bound.beats) == ("base.val.bits_per_byte", "baseline.unigram")


def test_extends_merges_mappings_key_by_key_and_replaces_lists(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        mine="extends: middle.yaml\nname: mine\nsft: {steps: 7}\nevaluate: {base: {splits: [val]}}\n",
        middle="extends: universe\nname: middle\nsft: {steps: 5, global_batch: 8}\n",
    )
    recipe, universe = load(path), load("universe")
    sft, _ = recipe.tuning
    assert (recipe.name, sft.steps, sft.global_batch) == ("mine", 7, 8)
    assert sft.learning_rate == universe.tuning[0].learning_rate
    assert recipe.evaluate.base == universe.evaluate.base.model_copy(update={"splits": ("val",)})


def test_a_section_of_another_kind_takes_nothing_from_what_it_replaces(tmp_path: Path) -> None:
    path = write(
        tmp_path, mine="extends: base.yaml\nexamples: {kind: corpus}\n", base="extends: rewarded\nexamples: {kind: universe, wordings: 3}\n"
    )
    assert load(path).examples == load(write(tmp_path, plain=SHORT)).examples


def test_paths_start_where_the_sources_are_named(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    write(tmp_path, base=SHORT)
    assert load(write(tmp_path / "own", heir="extends: ../base.yaml\n")).root == str(tmp_path)
    assert load(write(tmp_path / "own", other=f"extends: ../base.yaml\n{SHORT}")).root == str(tmp_path / "own")
    assert load(write(tmp_path / "own", rooted="extends: ../base.yaml\nroot: there\n")).root == str(tmp_path / "own" / "there")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": "extends: b.yaml\n", "b": "extends: a.yaml\n"}, r"a\.yaml extends itself: .*a\.yaml -> .*b\.yaml -> .*a\.yaml"),
        ({"a": "extends: univers\n"}, r"a\.yaml: extends='univers': .*did you mean universe\?"),
        ({"a": "extends: [universe]\n"}, r"extends=\['universe'\] is not the name or the path of a recipe"),
    ],
)
def test_an_impossible_base_is_refused_by_name(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(write(tmp_path, **files))


def test_a_source_without_a_kind_is_refused_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"ingest\.sources\.0: no kind; say which it is, such as `kind: files`"):
        load(write(tmp_path, mine="name: mine\ningest: {sources: [{paths: [books]}]}\n"))


def test_missing_required_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        load(write(tmp_path, mine="seed: 3\n"))
    assert "  name: missing" in str(error.value) and "  ingest: missing" in str(error.value)


def test_a_section_or_a_key_can_be_shown_alone_with_its_meaning_and_default() -> None:
    assert show_recipe("universe", "sft").startswith("# Supervised fine-tuning")
    (meaning, line) = show_recipe("universe", "sft.steps").splitlines()
    assert (meaning.startswith("# optimizer steps"), line) == (True, "steps: 40  # <- default: 150")
    assert show_recipe("universe", "sft.steps", ("sft.steps=150",)).splitlines()[1] == "steps: 150"


@pytest.mark.parametrize(
    ("section", "message"),
    [("stf", "did you mean sft"), ("sft.lerning_rate", "did you mean learning_rate"), ("sft.steps.x", "is a single value")],
)
def test_a_section_that_is_not_there_is_answered_with_the_nearest(section: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        show_recipe("universe", section)


def test_two_recipes_are_compared_key_by_key(tmp_path: Path) -> None:
    mine = write(tmp_path, mine="extends: universe\nname: mine\nsft: {steps: 7}\n")
    assert diff_recipes("universe", mine).splitlines() == ['name: "universe" -> "mine"', "tuning[0].steps: 40 -> 7"]
    assert diff_recipes("universe", "universe") == "universe and universe say the same."


def test_the_schema_names_every_key_with_its_description_and_allows_extends() -> None:
    schema = json.loads(recipe_schema())
    assert set(schema["properties"]) == {*Recipe.model_fields, *LISTS, "extends"}
    assert schema["$defs"]["SftConfig"]["properties"]["steps"]["description"].startswith("optimizer steps")
    assert {"required": ["extends"]} in schema["anyOf"]
    assert set(MACHINE) <= set(schema["properties"])
