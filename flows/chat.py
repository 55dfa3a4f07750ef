"""Base model -> tuning, step by step, each behind its own gate if it has one -> gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from flows.base import Base
from flows.corpus import Corpus
from flows.recipe.schema import Recipe
from model.aims.protocol import AFTER, BEFORE, SPLIT
from model.evaluation.config import EvaluateConfig
from model.pairing.config import ConstitutionPairs, Pairing
from model.training.config import TuningStep
from tasks.chat import adapt, encode, examine, pair, revise, tune
from tasks.evaluate import evaluate
from tasks.gate import gate, require
from tasks.stage.store.artifact import StageInput, StageOutput

QUESTIONS = "questions"
STEP_WAY_OUT = (
    "change the step (such as a lower learning_rate, fewer steps or other data), loosen the bounds of its gate, or say why it may go on by "
    "its gate.overrule"
)


class Chat(NamedTuple):
    """The inputs of the release chapter."""

    model: StageInput
    measured: StageOutput
    verdict: StageOutput
    steps: Mapping[str, StageOutput]  # by name, what was measured after each step, if there are several
    adapters: Mapping[str, StageInput]  # by name, the folder of each
    judges: Mapping[str, StageOutput]  # by name, the reward models that tuning made


def chat(recipe: Recipe, corpus: Corpus, base: Base) -> Chat:
    """Tune by each step of the recipe, evaluate after each; stop the flow unless the gates pass. Then train its adapters."""
    rows = tuning_rows(recipe, corpus, base)
    around = {"tokenizer": base.tokenizer, "packed": base.packed, "examples": corpus.examples}
    model: StageInput = base.model
    judges: dict[str, StageOutput] = {}
    steps: dict[str, StageOutput] = {}
    last = max((number for number, step in enumerate(recipe.tuning, start=1) if step.MAKES_POLICY), default=0)
    for number, step in enumerate(recipe.tuning, start=1):
        found = read(step, rows, judges, model, corpus, base)
        made = tune.at(step.name)(recipe.tuning_by(step), model=model, **found)
        judge_step(recipe, step, model, made, found, corpus, base)
        if not step.MAKES_POLICY:
            judges[step.name] = made
            continue
        model = made
        if number < last:
            measuring, judge = by_judge(recipe.evaluate.chat, judges)
            steps[step.name] = evaluate.at(step.name)(measuring, model=model, **around, **judge)
    measuring, judge = by_judge(recipe.evaluate.chat, judges)
    measured = evaluate.at("chat")(measuring, model=model, **around, **judge)
    bounds = recipe.judging_tuning
    verdict = gate.at("chat")(bounds, chat=measured, base=base.measured, opened=base.opened, baseline=base.compared)
    require(verdict, bounds)
    adapters: dict[str, StageInput] = {}
    for step in recipe.adapters:
        found = read(step, rows, judges, model, corpus, base)
        adapted = adapt.at(step.name)(recipe.tuning_by(step), model=model, **found)
        judge_step(recipe, step, model, adapted, found, corpus, base)
        evaluate.at(step.name)(measuring, model=adapted, **around, **judge)
        if step.adapter.KEEPS_BASE:
            adapters[step.name] = adapted.part("adapter")
    steps |= {recipe.tuning[last - 1].name: measured} if steps else {}
    return Chat(model, measured, verdict, steps, adapters, judges)


def by_judge(config: EvaluateConfig, judges: Mapping[str, StageOutput]) -> tuple[EvaluateConfig, dict[str, StageInput]]:
    """Return what is measured, and the reward model that it takes, if any. A model before that one exists is measured without it."""
    if not config.judge:
        return config, {}
    return (config, {"judge": judges[config.judge]}) if config.judge in judges else (config.without_judge(), {})


def read(
    step: TuningStep,
    rows: dict[str, dict[str, StageInput]],
    judges: dict[str, StageOutput],
    model: StageInput,
    corpus: Corpus,
    base: Base,
) -> dict[str, StageInput]:
    """Return a tuning step's inputs besides the current model. `judges`: reward models from earlier steps, by name."""
    found = rows[step.READS] if step.pairing is None else {"shards": made_pairs(step.name, step.pairing, model, corpus, base)}
    if step.READS == QUESTIONS:
        found = {**found, "questions": corpus.examples.part(step.asks)}
    if step.judge:
        found = {**found, "judge": judges[step.judge]}
    return {**found, "replayed": base.packed} if step.replay_share else found


def judge_step(
    recipe: Recipe, step: TuningStep, before: StageInput, after: StageOutput, found: dict[str, StageInput], corpus: Corpus, base: Base
) -> None:
    """Measure what a step is for before and after it, if it has a gate; stop the flow unless it certainly improved that at little cost."""
    if step.gate is None:
        return
    measuring = recipe.examining(step, step.gate)
    examined = examine.at(step.name)(
        measuring,
        before=before,
        after=after,
        tokenizer=base.tokenizer,
        examples=corpus.examples,
        packed=base.packed.part(SPLIT) if measuring.text else None,
        shards=found.get("shards"),
        judge=found.get("judge"),
    )
    bounds = step.gate.judging(step.aim(), makes_policy=step.MAKES_POLICY)
    verdict = gate.at(step.name)(bounds, before=examined.part(BEFORE), after=examined.part(AFTER))
    require(verdict, bounds, f"{step.name} ({step.title}): {STEP_WAY_OUT}.")


def made_pairs(name: str, config: Pairing, model: StageInput, corpus: Corpus, base: Base) -> StageInput:
    """Return the preference rows that are made with the current model for the step called `name`."""
    making = revise if isinstance(config, ConstitutionPairs) else pair
    return making.at(name)(config, model=model, tokenizer=base.tokenizer, examples=corpus.examples).part("preference")


def tuning_rows(recipe: Recipe, corpus: Corpus, base: Base) -> dict[str, dict[str, StageInput]]:
    """Return the inputs of tuning by what a step reads: a kind of rows that `encode` makes, or the step's own questions."""
    kinds = {step.READS for step in (*recipe.tuning, *recipe.adapters) if step.pairing is None}
    rows: dict[str, dict[str, StageInput]] = {}
    if shard_kinds := sorted(kinds - {QUESTIONS}):
        encoded = encode(recipe.encode, conversations=corpus.examples, tokenizer=base.tokenizer)
        rows = {kind: {"shards": encoded.part(kind)} for kind in shard_kinds}
    if QUESTIONS in kinds:
        rows[QUESTIONS] = {"tokenizer": base.tokenizer}
    return rows
