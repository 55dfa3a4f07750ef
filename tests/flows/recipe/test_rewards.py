"""Rewards and reasoning in a recipe: what is asked must be made, what judges must be able to, and the short recipes are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.preflight import machine_problems
from flows.recipe.gate_checks import metrics_of
from flows.recipe.loading import load
from flows.recipe.validation import RecipeError
from tests.flows.recipe.test_tuning import planned

GRPO = "{kind: grpo, questions: programs, rollouts: {rewards: [{kind: program}]}}"
PROGRAMS = ("examples.programs={taught: 20}", f"tuning=[{{kind: sft}}, {GRPO}]")
JUDGED = "tuning=[{kind: sft}, {kind: reward}]"
THINKING = "evaluate.chat.thinking={questions: seen, best: [4], reward_model: reward}"
WRONG = [
    (("tuning=[{kind: grpo, questions: programs}]",), "tuning[0].questions=programs needs examples with programs; set that, or ask"),
    (("tuning=[{kind: grpo, questions: gym}]",), "tuning[0].questions=gym needs examples with gym"),
    (("tuning=[{kind: grpo, questions: passages}]",), "tuning[0].questions=passages needs examples of kind universe with events"),
    (
        ("tuning=[{kind: grpo, rollouts: {rewards: [{kind: program}]}}]",),
        "tuning[0].rollouts has a reward of kind program, which judges replies to questions=programs alone, and questions=seen are asked",
    ),
    (("tuning=[{kind: grpo, rollouts: {verifier: {kind: gym}}}]",), "has a reward of kind gym, which judges replies to questions=gym"),
    (("evaluate.chat.question_sets=[program_templates]",), "question_sets names program_templates, which needs examples with programs"),
    (("evaluate.chat.thinking={questions: seen, emergence: [hops]}",), "thinking.emergence names hops, which needs examples of kind"),
    (("evaluate.chat.thinking={questions: seen, best: [4]}",), "best=[4] needs a judge; name a step of kind reward in reward_model"),
    (("evaluate.chat.thinking={questions: seen, reward_model: reward}",), "reward_model=\"reward\" does nothing while"),
    ((THINKING,), "evaluate.chat.thinking.reward_model='reward' isn't one of tuning's steps of kind reward, which are: none"),
    ((JUDGED, THINKING.replace("chat", "base")), "evaluate.base.thinking.reward_model='reward' isn't one of tuning's steps of kind reward"),
    (("examples.events={taught: 9}", "split.mode=all_train"), "examples.events holds passages of other books out, and split.mode"),
    (("examples.gym=[{dataset: countdown}]",), "dataset=countdown is refused: its scorer runs the reply as Python"),
    (("examples.gym=[{dataset: gcd}, {dataset: gcd}]",), "gym has gcd 2 times; keep one"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_what_is_not_made_or_can_not_judge_is_refused_by_name(changes: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load("universe", changes)
    assert message in str(error.value)


def test_programs_are_asked_and_rewarded_where_the_examples_have_some() -> None:
    recipe = load("universe", (*PROGRAMS, "evaluate.chat.question_sets=[follow_ups, program_templates]"))
    assert recipe.tuning[1].asks == "questions_programs.jsonl"
    assert "chat.questions.program_templates" in metrics_of(recipe, "chat")


def test_a_reward_model_that_evaluation_alone_uses_is_made_and_its_metric_can_be_bounded() -> None:
    recipe = load("universe", (JUDGED, THINKING))
    assert recipe.evaluate.chat.judge == "reward" and "chat.thinking.best_4" in metrics_of(recipe, "chat")
    assert recipe.evaluate.chat.without_judge().judge == ""


def test_a_model_is_judged_as_soon_as_the_reward_model_exists_and_not_before(tmp_path: Path) -> None:
    plan = planned(("tuning=[{kind: sft}, {kind: reward}, {kind: sft, name: second}]", THINKING), tmp_path)
    assert "tune.reward" not in plan["evaluate.sft"].causes[-1]
    assert "tune.reward" in plan["evaluate.chat"].causes[-1] and "tune.reward" not in plan["tune.second"].causes[-1]


def test_problems_of_reasoning_gym_are_refused_before_the_start_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "reasoning_gym" else find(name, *rest))
    recipe = load("universe", ("examples.gym=[{dataset: chain_sum}]",))
    assert "examples.gym has chain_sum and needs reasoning_gym, which is not installed: pip install -e '.[gym]'" in "\n".join(
        machine_problems(recipe)
    )


def test_ppo_is_refused_to_sample_groups_again_whose_replies_teach_it() -> None:
    with pytest.raises(RecipeError, match=r"rollouts.resample=2 does not fit kind=ppo, which .*; set it to 0"):
        load("judged", ("tuning[2].rollouts.resample=2",))


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("rewarded", ["sft", "grpo"]),
        ("judged", ["sft", "reward", "ppo"]),
        ("preferences", ["sft", "dpo", "kto", "orpo", "simpo"]),
        ("reasoned", ["sft", "grpo"]),
        ("reasoner", ["sft", "dpo", "reward", "grpo"]),
        ("constitution", ["sft", "orpo"]),
    ],
)
def test_the_short_recipes_of_rewards_tune_by_their_steps_in_order(name: str, kinds: list[str]) -> None:
    recipe = load(name)
    assert [step.kind for step in recipe.tuning] == kinds and recipe.exporting.card.name == f"folio-{name}"
