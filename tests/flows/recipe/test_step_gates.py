"""A step of tuning with a gate is examined and judged right after it; one without is as it always was."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.pipeline import compose
from flows.recipe.loading import built_in, load
from flows.recipe.validation import RecipeError
from model.aims.protocol import StepGate
from tasks.stage.execution.plan import Decision
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.execution.run_context import open_run

ROLLOUTS = "rollouts: {prompts: 2, group: 2, max_new_tokens: 8}, global_batch: 4"
CHATS = "{kind: conversations, sources: [{kind: files, name: chats, paths: [chats]}]}"


def planned(changes: tuple[str, ...], home: Path) -> dict[str, Decision]:
    """The plan of the smallest recipe in an empty home, by position."""
    recipe = load("four_books", changes)
    settings = {**recipe.run_settings(), "home": home, "store": str(home / "store")}
    with use_options(RunOptions(planning=True)), open_run(**settings) as run:
        compose(recipe)
    return {decision.position: decision for decision in run.decisions}


@pytest.mark.parametrize("name", built_in())
def test_no_step_of_a_built_in_recipe_has_a_gate_but_those_that_learn_from_the_model_s_own_words(name: str) -> None:
    recipe = load(name)
    gated = [step.name for step in (*recipe.tuning, *recipe.adapters) if step.gate]
    assert gated == {"constitution": ["orpo"], "reasoner": ["grpo"]}.get(name, [])


def test_a_gate_adds_two_positions_after_its_step_and_changes_no_other(tmp_path: Path) -> None:
    without, gated = planned((), tmp_path), planned(("sft.gate={}",), tmp_path)
    assert [position for position in gated if position not in without] == ["examine.sft", "gate.sft"]
    order = list(gated)
    assert order[order.index("tune.sft") + 1 :][:2] == ["examine.sft", "gate.sft"]
    assert {position: decision.ingredients for position, decision in gated.items() if position in without} == {
        position: decision.ingredients for position, decision in without.items()
    }
    assert gated["examine.sft"].causes[-1] == "waits on pretrain, tune.sft, tokenizer, examples, pack, encode"
    assert gated["gate.sft"].causes[-1] == "waits on examine.sft"


def test_a_bound_is_part_of_the_gates_key_alone(tmp_path: Path) -> None:
    one, other = (planned((f"sft.gate.most_bits_per_byte={bound}",), tmp_path) for bound in (0.1, 0.2))
    assert [position for position in one if one[position].ingredients != other[position].ingredients] == ["gate.sft"]


def test_how_a_step_learns_is_no_part_of_what_it_is_measured_by(tmp_path: Path) -> None:
    one, other = (planned(("dpo.gate={}", f"dpo.learning_rate={rate}"), tmp_path) for rate in (0.1, 0.2))
    changed = [position for position in one if one[position].ingredients != other[position].ingredients]
    assert "tune.dpo" in changed and "examine.dpo" not in changed


def test_each_kind_of_step_names_what_it_is_for(tmp_path: Path) -> None:
    kinds = ["{kind: sft, gate: {}}", "{kind: dpo, loss: ipo, gate: {}}", "{kind: kto, gate: {}}", "{kind: orpo, gate: {}}"]
    kinds += ["{kind: simpo, gate: {}}", "{kind: reward, gate: {}}", f"{{kind: ppo, reward_model: reward, gate: {{}}, {ROLLOUTS}}}"]
    kinds += [f"{{kind: grpo, gate: {{}}, {ROLLOUTS}}}"]
    plan = planned((f"tuning=[{', '.join(kinds)}]",), tmp_path)
    bounds = {
        position: decision.ingredients["gate.bounds[0].metric"]
        for position, decision in plan.items()
        if position.partition(".")[2] in ("sft", "dpo", "kto", "orpo", "simpo", "reward", "ppo", "grpo") and decision.stage == "gate"
    }
    assert bounds == {
        "gate.sft": '"after.aim.answer_loss"',
        "gate.dpo": '"after.aim.margin"',
        "gate.kto": '"after.aim.signed_reward"',
        "gate.orpo": '"after.aim.margin"',
        "gate.simpo": '"after.aim.margin"',
        "gate.reward": '"after.aim.ranking_loss"',
        "gate.ppo": '"after.aim.reward"',
        "gate.grpo": '"after.aim.reward"',
    }
    assert plan["examine.ppo"].ingredients["examine.aim.judged"] == "1.0"
    assert "tune.reward" in plan["examine.ppo"].causes[-1] and "pair.dpo" in plan["examine.dpo"].causes[-1]
    assert plan["examine.reward"].ingredients["examine.text"] == "false", "no later step goes on from a reward model"


def test_an_adapter_may_have_a_gate_too(tmp_path: Path) -> None:
    adapters = "adapters=[{kind: sft, name: soft, adapter: {kind: prompt, length: 4}, gate: {}}]"
    plan = planned((adapters,), tmp_path)
    assert plan["examine.soft"].causes[-1].startswith("waits on tune.dpo, adapt.soft") and "gate.soft" in plan


def test_a_gate_is_given_key_by_key_or_with_its_defaults() -> None:
    assert load("universe", ("sft.gate={}",)).tuning[0].gate == StepGate()
    assert load("universe", ("sft.gate.most_right_lost=null",)).tuning[0].gate == StepGate(most_right_lost=None)


WRONG = [
    (("sft.gate.most_bits=1",), "sft.gate.most_bits: unknown key (value 1); did you mean most_right_lost or most_bits_per_byte"),
    (("split.val=0", "split.train=0.95", "sft.gate={}"), "sft.gate.most_bits_per_byte=0.1 is judged on the val split, and split.val=0"),
    (("tuning=[{kind: sft, name: corpus, gate: {}}]",), "tuning[0].gate would be gate.corpus, which judges a chapter"),
    (
        (f"tuning=[{{kind: reward, gate: {{most_right_lost: 0.3}}}}, {{kind: ppo, reward_model: reward, {ROLLOUTS}}}]",),
        "tuning[0].gate.most_right_lost=0.3 does nothing: kind=reward leaves the policy as it was",
    ),
    (
        (f"examples={CHATS}", "tuning=[{kind: sft, gate: {}}]"),
        "tuning[0].gate.most_right_lost=0.1 asks questions, and examples.generated=null makes none",
    ),
    (
        ("tuning=[{kind: sft, name: twice, gate: {}}]", "adapters=[{kind: sft, name: twice, adapter: {kind: lora}, gate: {}}]"),
        "tuning and adapters have a step called 'twice' each, and both have a gate; rename one",
    ),
]


@pytest.mark.parametrize(("changes", "words"), WRONG, ids=[words[:40] for _, words in WRONG])
def test_a_gate_that_could_not_be_judged_is_refused_by_name(changes: tuple[str, ...], words: str) -> None:
    quiet = ("evaluate.base.questions=false", "evaluate.chat={splits: [train]}", "evaluate.release.questions=false")
    bounds = tuple(f"gates.{name}.bounds=[{{metric: {name}.train.loss, maximum: 99}}]" for name in ("base", "chat"))
    splits = tuple(f"evaluate.{name}.splits=[train]" for name in ("base", "release"))
    release = "gates.release.bounds=[{metric: release.train.loss, maximum: 99}]"
    with pytest.raises(RecipeError) as refused:
        load("universe", (*quiet, *splits, *bounds, release, *changes))
    assert words in str(refused.value)


def test_a_recipe_whose_own_bounds_do_not_judge_what_tuning_costs_gets_a_bound_on_it() -> None:
    own = "gates.chat.bounds=[{metric: chat.train.bits_per_byte, maximum: 8.0}]"
    *given, cost = load("four_books", (own,)).judging_tuning.bounds
    assert [str(bound) for bound in given] == ["<= 8"]
    assert (cost.metric, str(cost)) == ("chat.train.bits_per_byte", "<= 1.25 x base.train.bits_per_byte")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("four_books", ("gates.chat.bounds=[{metric: chat.train.bits_per_byte, relative_to: base.train.bits_per_byte, maximum: 9}]",)),
        ("four_books", ("gates.chat.bounds=[{metric: chat.train.bits_per_byte, no_worse_than: base, by: 3}]",)),
        ("adapters", ("gates.chat.bounds=[{metric: chat.train.bits_per_byte, maximum: 8}]",)),
        ("four_books", ("gates.chat.bounds=[{metric: chat.val.bits_per_byte, maximum: 8}]", "evaluate.chat.splits=[val]")),
        ("four_books", ("gates.chat={bounds: [{metric: chat.train.bits_per_byte, maximum: 8}], most_times_the_bits: null}",)),
    ],
)
def test_a_recipe_that_judges_it_or_tunes_nothing_or_measures_no_text_of_both_keeps_its_bounds(name: str, changes: tuple[str, ...]) -> None:
    recipe = load(name, changes)
    assert recipe.judging_tuning.bounds == recipe.gates.chat.bounds


def test_a_recipe_may_say_what_its_tuning_may_cost_and_is_refused_where_nothing_could_judge_it() -> None:
    *_, cost = load("four_books", ("gates.chat.most_times_the_bits=3",)).judging_tuning.bounds
    assert str(cost) == "<= 3 x base.train.bits_per_byte"
    with pytest.raises(RecipeError, match="most_times_the_bits=3 does nothing"):
        load("adapters", ("gates.chat.most_times_the_bits=3",))


@pytest.mark.parametrize("name", built_in())
def test_every_packaged_recipe_judges_what_its_tuning_costs(name: str) -> None:
    recipe = load(name)
    bases = [bound.relative_to or bound.other(bound.metric) for bound in recipe.judging_tuning.bounds]
    assert not recipe.tuning or any(other.startswith("base.") and other.endswith("bits_per_byte") for other in bases)
