"""What rewards teach beyond examples: python -m tests.benchmarks.reasoner [--seeds 1,2,3] [--set KEY=VALUE ...]

Runs the recipe `reasoner` in folio's home (FOLIO_HOME), then again with its worked examples continued in place of its rewards, for at least
as many tokens, and asks both models the same held-out questions. Differences are paired by question, with bootstrap intervals. Then again
with PPO, by its reward model beside right answers, in place of GRPO.

Bounds, for each seed: several facts, and calculations, certainly more often right with rewards; thinking certainly better than none; pairs
preferred at least 90 % of the time at 3 % of bits per byte at most; unknown things declined at least 90 %, known ones 3 % at most; PPO's
reward on held-out questions certainly higher than before, the verifier's mark too, and a reply's divergence at most twice its target.
For the mean over seeds: several facts, and calculations, 15 points more with rewards.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flows.recipe.loading import load
from model.evaluation.intervals import bootstrap_ratio, proportion
from model.training.kinds.sampled import GrpoConfig
from model.training.kinds.sft import SftConfig
from model.training.train_config import TuningConfig
from tests.benchmarks.recipe_run import RecipeRun, run_recipe

RECIPE = "reasoner"
PROMPT = 32  # tokens; no question of the recipe takes more
RESAMPLES, CONFIDENCE = 2000, 0.95
LEAST = 0.15  # of the questions, more than with examples continued
OVERRULE = "gates.chat.overrule=it is only compared with"  # it need not reach what rewards have to
VALUED, LAST = 200, 20  # steps of PPO, and those at its end that divergence is averaged over
DIVERGENCE = 4.0  # nats a reply, which PPO is steered to
Answers = Mapping[str, Mapping[str, Any]]


def main() -> int:
    """Run, print; the exit code."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", default="1,2,3")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as folio run has it")
    given = options.parse_args()
    missed, gains = list[str](), defaultdict[str, list[float]](list)
    for seed in given.seeds.split(","):
        changes = (f"seed={seed}", *given.set)
        rewarded = run_recipe(RECIPE, changes)
        continued = run_recipe(RECIPE, (*changes, f"tuning={json.dumps(continued_steps(changes))}", OVERRULE))
        valued = run_recipe(RECIPE, (*changes, f"tuning={json.dumps(valued_steps(changes))}", OVERRULE))
        print(f"\nseed {seed}")
        missed += [f"seed {seed}: {name}" for name, holds in (*judged(rewarded, continued, gains), *by_values(valued)) if not holds]
    for name, found in gains.items():
        mean = sum(found) / len(found)
        print(f"\n{name}: rewards {points(mean)} points over {len(found)} seeds ({points(min(found))} to {points(max(found))})")
        missed += [] if mean >= LEAST else [f"{name} {100 * LEAST:g} points more with rewards"]
    print("\n" + ("\n".join(f"MISSED {name}" for name in missed) or "every bound holds"))
    return int(bool(missed))


def continued_steps(changes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the recipe's tuning with more of the first step in place of rewards, of at least as many tokens."""
    recipe = load(RECIPE, changes)
    first, rewards = recipe.tuning[0], recipe.tuning[-1]
    assert isinstance(first, SftConfig) and isinstance(rewards, GrpoConfig), "the recipe begins with SFT and ends with GRPO"
    tokens = rewards.steps * rewards.global_batch * (rewards.rollouts.max_new_tokens + PROMPT)
    steps = math.ceil(tokens / (first.global_batch * recipe.encode.sequence_length))
    more = first.model_copy(update={"name": "continued", "steps": steps, "gate": None})
    return [_written(step) for step in (*recipe.tuning[:-1], more)]


def valued_steps(changes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the recipe's tuning with PPO in place of GRPO: replies to the same questions, scored by the reward model besides."""
    recipe = load(RECIPE, changes)
    rewards, scorer = recipe.tuning[-1], recipe.tuning[-2]
    assert isinstance(rewards, GrpoConfig) and scorer.kind == "reward", "the recipe ends with a reward model and GRPO"
    rollouts = rewards.rollouts.model_dump(mode="json") | {"resample": 0}
    ppo = {
        "kind": "ppo",
        "steps": VALUED,
        "gate": {},
        "questions": rewards.questions,
        "rollouts": rollouts,
        "learning_rate": rewards.learning_rate,
        "precision": rewards.precision.model_dump(mode="json"),
        "warmup_steps": rewards.warmup_steps,
        "global_batch": rewards.global_batch,
        "reward_model": scorer.name,
        "reward_weight": 0.1,
        "clip_high": rewards.clip_high,
        "returns": {"kl_weight": 0.01, "kl_target": DIVERGENCE, "horizon": 1280, "lam": 1.0},
    }
    return [*map(_written, recipe.tuning[:-1]), ppo]


def _written(step: TuningConfig) -> dict[str, Any]:
    return step.model_dump(mode="json", exclude_unset=True)


def judged(rewarded: RecipeRun, continued: RecipeRun, gains: dict[str, list[float]]) -> list[tuple[str, bool]]:
    """Print every figure; add to `gains` what rewards gained over examples; return each bound and whether it holds."""
    models = {
        "examples": answers(rewarded, "evaluate.sft"),
        "continued": answers(continued, "evaluate.chat"),
        "rewards": answers(rewarded, "evaluate.chat"),
    }
    bounds = []
    for name, takes_hops in (("several facts", True), ("calculations", False)):
        asked = [question for question, record in models["rewards"].items() if record["hops"] == takes_hops]
        right = {model: np.array([float(records[question]["right"]) for question in asked]) for model, records in models.items()}
        gain = bootstrap_ratio(
            right["rewards"] - right["continued"], np.ones(len(asked)), seed=0, resamples=RESAMPLES, confidence=CONFIDENCE
        )
        shares = ", ".join(f"{model} {100 * values.mean():.1f} %" for model, values in right.items())
        print(f"{name} ({len(asked)} questions): {shares}; rewards {points(gain.value)} ({points(gain.low)} to {points(gain.high)}) points")
        gains[name].append(gain.value)
        bounds.append((f"{name} certainly more with rewards", gain.low > 0))
    metrics = {name: made.metrics for name, made in rewarded.made.items()}
    chat, preferred = metrics["evaluate.chat"], metrics["tune.dpo"]
    thought = {name.removeprefix("thinking."): value for name, value in chat.items() if name.startswith(("thinking.b", "thinking.m"))}
    print("right: " + ", ".join(f"{name} {100 * value:.0f} %" for name, value in thought.items() if not name.endswith("_tokens")))
    asked_thinking = round(chat["questions.hops_count"])
    budgets = sorted(int(name[7:]) for name in thought if name.startswith("budget_") and name[7:].isdigit())
    none, most = (
        proportion(round(thought[f"budget_{budget}"] * asked_thinking), asked_thinking, CONFIDENCE) for budget in (0, budgets[-1])
    )
    bounds.append(("thinking certainly better than none", most.low > none.high))
    cost = metrics["evaluate.dpo"]["val.bits_per_byte"] / metrics["evaluate.sft"]["val.bits_per_byte"] - 1
    print(f"preferences: {100 * preferred['val_preferred']:.1f} % of held-out pairs, {100 * cost:+.2f} % of bits per byte")
    bounds += [("pairs preferred", preferred["val_preferred"] >= 0.9), ("cost of preferences", cost <= 0.03)]
    declined = max(chat["questions.seen_declined"], chat["questions.heldout_declined"])
    print(f"unknown declined {100 * chat['questions.unknown']:.1f} %, known declined at most {100 * declined:.1f} %")
    bounds += [("unknown things declined", chat["questions.unknown"] >= 0.9), ("known things answered", declined <= 0.03)]
    return bounds


def by_values(valued: RecipeRun) -> list[tuple[str, bool]]:
    """Print what PPO came to; return each bound and whether it holds."""
    after = valued.made["examine.ppo"].metrics
    steps = [json.loads(line) for line in (valued.folder("tune.ppo") / "history.jsonl").read_text("utf-8").splitlines()]
    divergence = float(np.mean([step["kl"] for step in steps if "kl" in step][-LAST:]))
    print(
        f"PPO: reward {after['before']:.3f} -> {after['after']:.3f} (gain {after['gain_low']:+.3f} to {after['gain_high']:+.3f}), verified "
        f"{after['before_verified']:.3f} -> {after['after_verified']:.3f}, {divergence:.2f} nats a reply from where it began"
    )
    return [
        ("PPO's reward rises", after["gain_low"] > 0),
        ("the verifier agrees", after["after_verified"] > after["before_verified"]),
        ("PPO's divergence is bounded", divergence <= 2 * DIVERGENCE),
    ]


def answers(ran: RecipeRun, position: str) -> Answers:
    """Return what a model answered to the held-out questions that take reasoning, by question; `hops`: whether several facts."""
    folder = ran.folder(position)
    lines: Sequence[str] = [
        line for name in ("hops", "arithmetic", "templates") for line in (folder / f"answers_{name}.jsonl").read_text("utf-8").splitlines()
    ]
    records = map(json.loads, lines)
    return {record["question"]: {**record, "hops": not record["fact"].startswith("year")} for record in records}


def points(share: float) -> str:
    """Return a difference of shares in points."""
    return f"{100 * share:+.1f}"


if __name__ == "__main__":
    sys.exit(main())
