"""The list of tuning steps in a recipe, and the sections that stand for entries of it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from flows.cli.commands.recipe import show_recipe
from flows.cli.preflight import machine_problems
from flows.pipeline import compose
from flows.recipe.loading import built_in, load
from flows.recipe.validation import RecipeError
from model.training.config import DpoConfig, SftConfig
from tasks.stage.execution.plan import Decision
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.execution.run_context import open_run

SECOND = "{kind: sft, name: second, steps: 5}"


def planned(changes: tuple[str, ...], home: Path) -> dict[str, Decision]:
    """The plan of the smallest recipe in an empty home, by position."""
    recipe = load("four_books", changes)
    settings = {**recipe.run_settings(), "home": home, "store": str(home / "store")}
    with use_options(RunOptions(planning=True)), open_run(**settings) as run:
        compose(recipe)
    return {decision.position: decision for decision in run.decisions}


GIVES_LIST = re.compile(r"^tuning:|^extends: arena", re.MULTILINE)


@pytest.mark.parametrize("name", [name for name, path in built_in().items() if not GIVES_LIST.search(path.read_text(encoding="utf-8"))])
def test_a_recipe_that_gives_no_list_tunes_on_instructions_then_on_preferences(name: str) -> None:
    assert [(step.kind, step.name) for step in load(name).tuning] == [("sft", "sft"), ("dpo", "dpo")]


def test_each_step_is_a_stage_at_a_position_of_its_name_and_goes_on_from_the_one_before(tmp_path: Path) -> None:
    plan = planned((f"tuning=[{{kind: dpo}}, {SECOND}]",), tmp_path)
    tuned = [position for position in plan if position.startswith("tune")]
    assert tuned == ["tune.dpo", "tune.second"] and {plan[position].stage for position in tuned} == {"tune"}
    assert plan["pair.dpo"].causes[-1] == "waits on pretrain, tokenizer, examples"
    assert plan["tune.dpo"].causes[-1] == "waits on pretrain, pair.dpo"
    assert plan["tune.second"].causes[-1] == "waits on tune.dpo, encode"
    assert "waits on tune.second" in plan["evaluate.chat"].causes[-1] and "waits on tune.second" in plan["export"].causes[-1]


def test_a_model_is_measured_after_each_step_and_after_the_last_under_its_own_name(tmp_path: Path) -> None:
    plan = planned(("tuning=[{kind: sft}, {kind: sft, name: second}, {kind: dpo}]",), tmp_path)
    measured = {position: plan[position].causes[-1] for position in plan if position.startswith("evaluate")}
    assert [name for name in measured if name.split(".")[1] not in ("base", "release", "int8")] == [
        "evaluate.sft",
        "evaluate.second",
        "evaluate.chat",
    ]
    assert "waits on tune.second" in measured["evaluate.second"] and "waits on tune.dpo" in measured["evaluate.chat"]


def test_pairs_are_the_examples_own_only_if_a_recipe_asks_for_them(tmp_path: Path) -> None:
    assert planned(("dpo.pairs.kind=examples",), tmp_path)["tune.dpo"].causes[-1] == "waits on tune.sft, encode"
    assert "pair.dpo" in planned((), tmp_path)


def test_pairs_by_principles_are_made_by_a_stage_of_their_own_with_the_model_before_the_step(tmp_path: Path) -> None:
    principles = "principles: [{critique: 'How is it rude?', revision: Say it politely.}]"
    plan = planned((f"dpo.pairs={{kind: constitution, {principles}}}",), tmp_path)
    assert plan["revise.dpo"].causes[-1] == "waits on tune.sft, tokenizer, examples" and "pair.dpo" not in plan
    assert plan["tune.dpo"].causes[-1] == "waits on tune.sft, revise.dpo"


def test_a_critic_behind_an_address_is_refused_before_the_start_without_its_client_or_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    critic = "critic: {kind: endpoint, url: 'http://127.0.0.1:9/v1', model: judge, key_variable: CRITIC_KEY}"
    changes = (f"dpo.pairs={{kind: constitution, principles: [{{critique: a, revision: b}}], {critic}}}",)
    monkeypatch.delenv("CRITIC_KEY", raising=False)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "openai" else find(name, *rest))
    problems = "\n".join(machine_problems(load("four_books", changes)))
    assert "tuning[1].pairs.critic.kind=endpoint needs openai, which is not installed: pip install -e '.[critic]'" in problems
    assert "tuning[1].pairs.critic.key_variable=CRITIC_KEY, and the environment has no such variable; set it to the key" in problems
    monkeypatch.setenv("CRITIC_KEY", "sk-1")
    assert "CRITIC_KEY" not in "\n".join(machine_problems(load("four_books", changes)))


def test_packed_rows_are_an_input_of_tuning_only_if_a_step_replays_them(tmp_path: Path) -> None:
    replaying = planned(("sft={replay: 0.5, global_batch: 4}",), tmp_path)
    assert "pack" in replaying["tune.sft"].causes[-1] and "pack" not in replaying["tune.dpo"].causes[-1]


def test_a_reward_model_is_made_beside_the_policy_and_scores_the_replies_of_the_step_that_names_it(tmp_path: Path) -> None:
    rollouts = "rollouts: {prompts: 2, group: 2, max_new_tokens: 8}, global_batch: 4"
    steps = f"{{kind: sft}}, {{kind: reward, name: judge}}, {{kind: ppo, reward_model: judge, {rollouts}}}"
    plan = planned((f"tuning=[{steps}]",), tmp_path)
    assert plan["tune.judge"].causes[-1] == "waits on tune.sft, pair.judge"
    assert plan["tune.ppo"].causes[-1] == "waits on tune.sft, tokenizer, examples, tune.judge"
    assert "waits on tune.ppo" in plan["evaluate.chat"].causes[-1] and "evaluate.judge" not in plan


def test_an_empty_list_leaves_the_base_model_as_it_is_and_encodes_nothing(tmp_path: Path) -> None:
    plan = planned(("tuning=[]",), tmp_path)
    assert not [position for position in plan if position.startswith(("tune", "encode"))]
    assert "waits on pretrain" in plan["evaluate.chat"].causes[-1] and "waits on pretrain" in plan["export"].causes[-1]


def test_a_name_is_no_part_of_a_step_s_identity_and_titles_are(tmp_path: Path) -> None:
    named, renamed = (planned((f"tuning=[{{kind: sft, name: {name}}}]",), tmp_path) for name in ("sft", "other"))
    assert named["tune.sft"].ingredients == renamed["tune.other"].ingredients
    assert named["export"].ingredients["export.training[1].title"] == '"instruction tuning"'
    assert renamed["export"].ingredients["export.training[1].title"] == '"instruction tuning (other)"'


def test_sections_stand_for_steps_of_their_name() -> None:
    sections = ("sft={steps: 7}", "dpo={beta: 0.2, steps: 3}")
    assert load("universe", sections) == load("universe", ("tuning=[{kind: sft, steps: 7}, {kind: dpo, beta: 0.2, steps: 3}]",))
    assert load("universe", ("sft={objective: sft}", "dpo={objective: dpo}")).tuning == (SftConfig(), DpoConfig())
    assert load("universe", ("pretrain.objective=next_token",)) == load("universe")


def test_an_entry_is_changed_by_its_number_its_name_or_its_section(tmp_path: Path) -> None:
    entry = {load("universe", (f"{key}.learning_rate=0.5",)).tuning for key in ("tuning[0]", "tuning.0", "tuning.sft", "sft")}
    assert [[step.learning_rate for step in steps] for steps in entry] == [[0.5, 5e-5]]
    (tmp_path / "mine.yaml").write_text("name: mine\ningest: {sources: [{kind: universe}]}\n")
    assert load(str(tmp_path / "mine.yaml"), ("tuning.dpo.beta=0.3",)).tuning == (SftConfig(), DpoConfig(beta=0.3))


def test_a_list_replaces_the_sections_of_the_recipe_that_it_builds_on(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"extends: universe\ntuning: [{SECOND}]\n")
    (tmp_path / "heir.yaml").write_text("extends: mine.yaml\nsft: {steps: 9}\n")
    assert load(str(tmp_path / "mine.yaml")).tuning == (SftConfig(name="second", steps=5),)
    with pytest.raises(RecipeError, match="sft stands for an entry of tuning, and both are given; keep tuning"):
        load(str(tmp_path / "heir.yaml"))


def test_a_step_is_shown_by_its_path_or_its_section() -> None:
    assert (
        show_recipe("universe", "tuning.sft")
        == show_recipe("universe", "sft")
        == show_recipe("universe", "tuning[0]").replace("\n0:", "\nsft:")
    )
    assert show_recipe("universe", "tuning.dpo.beta") == show_recipe("universe", "dpo.beta")
    with pytest.raises(RecipeError, match=r"tuning has no key 'spo'; did you mean dpo"):
        show_recipe("universe", "tuning.spo")


WRONG = [
    ("tuning=[{kind: sft}, {kind: sft}]", "tuning has 2 called 'sft'; give each a name of its own"),
    ("tuning=[{kind: sft, name: int8}, {kind: dpo}]", "tuning and release.variants have one called 'int8' each"),
    ("dpo={pairs: {kind: own, samples: 0, temperature: 0.5}}", "dpo.pairs.temperature=0.5 does nothing while dpo.pairs.samples=0"),
    ("dpo={replay_weight: 2.0}", "dpo.replay_weight=2.0 does nothing while dpo.replay=0.0"),
    ("dpo={replay: 0.05, global_batch: 16}", "replay=0.05 of 16 rows a step leaves fewer than 2 of a kind"),
    ("tuning=[{kind: sft, name: release}]", "tuning has one called 'release', a name that the flow itself uses"),
    ("tuning=[{kind: sft, beta: 1}]", "tuning.0.sft.beta: unknown key (value 1)"),
    ("tuning=[{kind: sfr}]", "there is no 'sfr' here; did you mean sft?"),
    ("tuning=[{name: sft}]", "tuning.0: no kind"),
    ("tuning=[{kind: sft, name: a.b}]", "tuning.0.sft.name: takes small letters"),
    ("tuning=[{kind: dpo, optimizer: sophia}]", "optimizer=sophia estimates curvature from sampled next tokens"),
    ("tuning=[{kind: sft, eval_rows: 0, eval_every: 5}]", "tuning[0].eval_every=5 does nothing while tuning[0].eval_rows=0"),
    ("sft={kind: dpo}", "sft.kind: sft stands for a step of that kind; for a step of another kind give the list tuning"),
    ("sft={kind: sft, objective: sft}", "sft.objective is the older name of sft.kind, and both are given; keep kind"),
    ("tuning=[{kind: grpo, questions: reasoning}]", "tuning[0].questions=reasoning needs examples of kind universe with reasoning above 0"),
    ("tuning=[{kind: grpo, questions: practised}]", "tuning[0].questions=practised needs examples of kind universe with reasoning above 0"),
    ("evaluate.chat.question_sets=[hops]", "evaluate.chat.question_sets names hops, which needs examples of kind universe"),
    ("evaluate.chat.question_sets=[unknown]", "names unknown, which needs examples of kind universe with unknown above 0"),
    ("dpo={loss: ipo, label_smoothing: 0.1}", "label_smoothing=0.1 does nothing with loss=ipo"),
    ("tuning=[{kind: ppo, reward_model: judge}]", "tuning[0].reward_model='judge' isn't an earlier step of kind reward, which are: none"),
    ("tuning=[{kind: sft}, {kind: reward}]", "tuning[1] makes the reward model 'reward', which no later step names"),
    ("tuning=[{kind: ppo, reward_weight: 2}]", "tuning[0].reward_weight=2.0 does nothing while tuning[0].reward_model"),
    ("dpo.batas=1", "dpo.batas: unknown key (value 1); did you mean beta"),
    ("pretrain.objective=sft", "pretrain"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[change for change, _ in WRONG])
def test_steps_that_cannot_be_tuned_by_are_refused_by_name(change: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("universe", (change,))
    assert message in str(error.value)
