"""The section `arena`: what it adds to the flow, and which networks it refuses by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.recipe.loading import built_in, load
from flows.recipe.validation import RecipeError
from tests.flows.recipe.test_tuning import planned

GRU = "{name: gru, model: {kind: hybrid, mixers: [{kind: gru}], width: 32, layers: 1}}"
COUNTS = "{name: counts, model: {kind: ngram}}"


def test_each_network_is_trained_on_the_same_rows_from_every_seed_and_measured_and_nothing_else_changes(tmp_path: Path) -> None:
    plain = planned((), tmp_path / "a")
    plan = planned((f"arena.entrants=[{GRU}, {COUNTS}]", "arena.seeds=2"), tmp_path / "b")
    added = [position for position in plan if position not in plain]
    assert added == [f"{stage}.{name}" for name in ("gru.0", "counts.0", "gru.1") for stage in ("compete", "appraise")]
    assert all(plan[f"compete.{name}"].causes[-1] == "waits on pack" for name in ("gru.0", "gru.1", "counts.0"))
    assert {name: plan[name].ingredients for name in plain} == {name: decision.ingredients for name, decision in plain.items()}


def test_its_seeds_follow_the_recipes_and_its_context_the_rows() -> None:
    recipe = load("universe", ("pack.sequence_length=128", f"arena.entrants=[{GRU}, {COUNTS}]", "arena.seeds=2", "seed=5"))
    assert {name: training.seed for name, training in recipe.competing.items()} == {"gru.0": 5, "counts.0": 0, "gru.1": 6}
    assert {training.model.context for training in recipe.competing.values()} == {128}


def test_a_learning_rate_of_its_own_changes_that_network_alone() -> None:
    fast = GRU.replace("name: gru", "name: fast, learning_rate: 0.02")
    recipe = load("universe", ("pack.sequence_length=128", f"arena.entrants=[{GRU}, {fast}]", "arena.seeds=1"))
    rates = {name: training.train.learning_rate for name, training in recipe.competing.items()}
    assert rates == {"gru.0": recipe.pretrain.learning_rate, "fast.0": 0.02}


WRONG = [
    ("{name: both, model: {kind: encoder}}", "arena.entrants[0].model.kind=encoder lacks causal, and an arena compares next tokens"),
    (f"{GRU}, {GRU}", "arena.entrants has 2 called 'gru'; give each a name of its own"),
    ("{name: long, model: {kind: recurrent, context: 64}}", "arena.entrants[0].model.context=64 and pack.sequence_length=128 differ"),
    ("{name: counts, model: {kind: ngram}, learning_rate: 0.1}", "arena.entrants[0].learning_rate=0.1 does nothing: kind=ngram is counted"),
    ("{name: odd, model: {kind: hybrid, mixers: [{kind: mamba2, head_width: 48}]}}", "head_width=48 does not divide"),
]


@pytest.mark.parametrize(("entrants", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_what_cannot_compete_is_refused_by_name(entrants: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("universe", ("pack.sequence_length=128", f"arena.entrants=[{entrants}]"))
    assert message in str(error.value)


def test_keys_of_an_arena_without_networks_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"arena\.seeds=2 does nothing while arena\.entrants=\[\]"):
        load("universe", ("arena.seeds=2",))


SYMBOLS = "ingest.sources=[{kind: synthetic, maker: {kind: symbols, task: parity}}]"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("examples={kind: symbols}",), "examples.kind=symbols needs a source of kind synthetic with a maker of kind symbols"),
        ((SYMBOLS, "examples={kind: symbols}"), "examples.kind=symbols teaches no conversation; set tuning: []"),
        (("ingest.sources=[{kind: synthetic, maker: {kind: symbols, task: parity, symbols: 7}}]",), "symbols=7 does nothing while"),
    ],
)
def test_probes_that_the_rest_of_a_recipe_contradicts_are_refused(changes: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("four_books", changes)
    assert message in str(error.value)


def test_the_networks_that_come_with_folio_are_of_equal_size_and_the_same_on_every_probe() -> None:
    from model.networks.meta import count_parameters

    arenas = {name: load(name).arena for name in built_in() if name.startswith("arena")}
    assert len(arenas) == 7 and all(arena == arenas["arena"] for arena in arenas.values())
    networks = {entrant.name: entrant.model for entrant in arenas["arena"].entrants if not entrant.model.counted}
    sizes = {name: count_parameters(network, 128) for name, network in networks.items()}
    assert len(sizes) == 10 and all(abs(size / sizes["attention"] - 1) <= 0.1 for size in sizes.values()), sizes
