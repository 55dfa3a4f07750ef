"""Evaluate one model: loss, answers to questions, memorization, probes, and samples for people to read.

The same model, shards and config give the same files for the same number of threads, and the same numbers to rounding for any number.
Directories in full precision and quantized ones are both accepted. A model trained with another tokenizer than the shards' is refused.
Cost: one forward pass over the rows and greedy answers, a few seconds for a thousand questions.

Files: metrics.json, units.npz, samples.jsonl, with questions answers_<set>.jsonl of each set, such as seen and heldout, with skills
attempts.jsonl, and thoughts.jsonl where what emerges in thinking is looked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from data.shards.reader import ShardReader
from model.evaluation.config import EvaluateConfig, ThinkingConfig
from model.evaluation.emergence import measure_emergence
from model.evaluation.intervals import Measured, Units, bootstrap_ratio, proportion, write_units
from model.evaluation.loss import Continuation, evaluate_loss, evaluate_masked, evaluate_spans, measure_memorization
from model.evaluation.questions import Answer, ask, error_rates, probabilities, write_records
from model.evaluation.retrieval import evaluate_retrieval
from model.evaluation.skills.measure import FILE as SKILLS
from model.evaluation.skills.measure import Attempt, attempt, read_items, score
from model.evaluation.thinking import measure_thinking
from model.hardware.transfers import torch_threads
from model.inference.chat import Judge
from model.inference.chat_format import ChatFormat
from model.inference.config import SamplingConfig
from model.inference.generation import generate
from model.inference.open_model import open_model
from model.networks.base import Ability
from model.networks.directory import require_tokenizer
from model.rewards.answers import is_right, messages_of, read_questions

if TYPE_CHECKING:
    from model.networks.decoding import DecodingNetwork

NEVER = -100.0  # nats
SETS = ("seen", "heldout")
UNKNOWN = "unknown"  # questions whose right answer is to decline
Record = TypeVar("Record")
# How well a model does on a split, by what it supports.
MEASURES: dict[Ability, Callable[..., Measured]] = {"causal": evaluate_loss, "bidirectional": evaluate_masked, "infilling": evaluate_spans}


def evaluate(
    model: Path,
    tokenizer: Path,
    packed: Path,
    examples: Path | None,
    output: Path,
    config: EvaluateConfig,
    *,
    threads: int,
    judge: Path | None = None,
) -> dict[str, float]:
    """Measure the model in `model` on `packed/<split>` and on `examples/questions_*.jsonl`; write into `output`.

    `judge`: the reward model that takes the best of several attempts, if the config asks for it.

    Metrics: of a causal network `<split>.loss`, `.perplexity`, `.bits_per_byte` (each with `_low`, `_high`), `.rows`, `.targets`; of a
    bidirectional one `<split>.masked_loss`, `.masked_accuracy`, `.rows`, `.hidden`; of an infilling one the same of spans, `.span_loss` and
    `.span_accuracy`; with `passages` `<split>.recall_at_1`, `_5`, `_10` and `.passages`; `questions.seen`, `questions.heldout` and those of
    `question_sets` (share answered right, with a Wilson interval), each with `_count` and `_unasked` (too long for the context), with
    `earlier_questions` also `_later` (the share right as the last of a conversation), and where the set unknown is asked `_declined` (the
    share of replies that say that they do not know); `skills.<skill>` and its kin (see
    `model/evaluation/skills/measure.py`); `copying.share` and `copying.longest` (tokens) on the training split, `copying.baseline` on
    validation; `probe.<prompt>.<word>`; `thinking.budget_<tokens>` and `thinking.majority_<attempts>` with `_tokens` (see
    `model/evaluation/thinking.py`), and what emerges (see `model/evaluation/emergence.py`).

    Raise before the model runs if a split is missing, if questions are asked for without examples, or if the network can't do what is
    asked.
    """
    readers = {split: ShardReader(packed / split) for split in config.splits}
    for wanted, value in (("questions", config.questions), ("skills", config.skills), ("thinking", config.thinking)):
        if value and examples is None:
            way = f"{wanted}=false" if value is True else f"{wanted}=null"
            said = f"{wanted}=true" if value is True else wanted
            raise ValueError(f"{said} needs examples with {wanted}, and none were given; give them or set {way}")
    items = read_items(examples / SKILLS) if config.skills and examples is not None else []
    chat_format, network = ChatFormat(tokenizer), open_model(model)
    if problem := next(config.problems(network.config), None):
        raise ValueError(f"{model}: {problem}")
    require_tokenizer(model, chat_format.digest)
    for reader in readers.values():
        reader.expect(chat_format.digest, network.vocab_size)
    output.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, float] = {}
    samples: list[dict[str, Any]] = []
    units: dict[str, Units] = {}
    with torch_threads(threads):
        for split in config.splits:
            for measure in (MEASURES[ability] for ability in MEASURES if ability in network.config.SUPPORTS):
                measured = measure(network, packed / split, rows=config.rows, seed=config.seed,
                                   resamples=config.resamples, confidence=config.confidence)  # fmt: skip
                metrics |= {f"{split}.{name}": value for name, value in measured.metrics.items()}
                units |= {f"{split}.{name}": found for name, found in measured.units.items()}
            if config.passages:
                recalls = evaluate_retrieval(network, packed / split, most=config.passages, confidence=config.confidence)
                metrics |= {f"{split}.{name}": value for name, value in recalls.items()}
        decoding = network.decoding() if "generation" in network.config.SUPPORTS else None
        if config.questions and examples is not None and decoding is not None:
            metrics |= _answer_questions(decoding, chat_format, examples, output, config, samples, units)
        if items and decoding is not None:
            attempts = attempt(decoding, chat_format, items, config.skill_tokens)
            write_records(output / "attempts.jsonl", attempts)
            found_metrics, found_units = score(attempts, resamples=config.resamples, confidence=config.confidence, seed=config.seed)
            metrics, units = metrics | found_metrics, units | found_units
            samples += _attempted(attempts, config.samples)
        if config.copying and decoding is not None:
            metrics |= _measure_copying(decoding, chat_format, packed, config, samples)
        if config.thinking and examples is not None and decoding is not None:
            metrics |= _measure_thinking(decoding, chat_format, examples, output, config, config.thinking, judge)
        for probe in config.probes:
            metrics[probe.metric] = probabilities(network, chat_format, probe.prompt, [probe.word])[0]
        if decoding is not None:
            samples += _sample_documents(decoding, chat_format, config)
    (output / "metrics.json").write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_units(output, units)
    write_records(output / "samples.jsonl", samples)
    return metrics


def _answer_questions(
    network: DecodingNetwork,
    chat_format: ChatFormat,
    examples: Path,
    output: Path,
    config: EvaluateConfig,
    samples: list[dict[str, Any]],
    units: dict[str, Units],
) -> dict[str, float]:
    """Ask each set of questions and write the answers; add to `samples` and `units`, and return the metrics."""
    metrics: dict[str, float] = {}
    declining: set[str] = set()
    if UNKNOWN in config.question_sets:
        declining = {answer for question in read_questions(examples / f"questions_{UNKNOWN}.jsonl") for answer in question["answers"]}
    for name in (*SETS, *config.question_sets):
        path = examples / f"questions_{name}.jsonl"
        _, records = ask(network, chat_format, path, answer_tokens=config.answer_tokens, earlier=config.earlier_questions)
        write_records(output / f"answers_{name}.jsonl", records)
        right = sum(record["right"] for record in records)
        metrics |= proportion(right, len(records), config.confidence).metrics(f"questions.{name}")
        units[f"questions.{name}"] = Units(
            np.arange(len(records)), np.array([float(record["right"]) for record in records]), np.ones(len(records))
        )
        if config.earlier_questions:
            later = sum(record["right_later"] for record in records)
            metrics |= proportion(later, len(records), config.confidence).metrics(f"questions.{name}_later")
        metrics[f"questions.{name}_count"] = float(len(records))
        metrics[f"questions.{name}_unasked"] = float(sum(not record["asked"] for record in records))
        for unit, found in error_rates(records).items() if config.error_rates else ():
            rate = bootstrap_ratio(*found, seed=config.seed, resamples=config.resamples, confidence=config.confidence)
            metrics |= rate.metrics(f"questions.{name}_{unit}_error")
        if declining:
            metrics[f"questions.{name}_declined"] = sum(is_right(record["reply"], declining) for record in records) / len(records)
        samples += [_conversation_sample(name, record) for record in _evenly_spaced(records, config.samples)]
    return metrics


def _measure_thinking(
    network: DecodingNetwork,
    chat_format: ChatFormat,
    examples: Path,
    output: Path,
    config: EvaluateConfig,
    thinking: ThinkingConfig,
    judge: Path | None,
) -> dict[str, float]:
    """Measure what thinking is worth, and what emerges in it, which is written down; return the metrics."""
    chosen_by = Judge.open(judge, chat_format.digest) if judge is not None and thinking.best else None
    metrics = measure_thinking(network, chat_format, examples, thinking, chosen_by)
    if thinking.emergence:
        found, thoughts = measure_emergence(
            network, chat_format, examples, thinking, resamples=config.resamples, confidence=config.confidence, seed=config.seed
        )
        write_records(output / "thoughts.jsonl", thoughts)
        metrics |= found
    return metrics


def _attempted(attempts: list[Attempt], count: int) -> list[dict[str, Any]]:
    """Return `count` attempts at each skill as conversations."""
    kept: list[dict[str, Any]] = []
    for skill in dict.fromkeys(one["skill"] for one in attempts):
        for one in _evenly_spaced([one for one in attempts if one["skill"] == skill], count):
            turns = (("user", one["question"]), ("assistant", one["reply"]))
            messages = [{"role": role, "content": content} for role, content in turns]
            kept.append({"kind": "conversation", "set": skill, "right": one["right"], "messages": messages})
    return kept


def _evenly_spaced(records: Sequence[Record], count: int) -> list[Record]:
    """Return `count` records spread over the file, since neighbouring questions are alike."""
    return [records[index * len(records) // count] for index in range(min(count, len(records)))]


def _measure_copying(
    network: DecodingNetwork, chat_format: ChatFormat, packed: Path, config: EvaluateConfig, samples: list[dict[str, Any]]
) -> dict[str, float]:
    """Measure memorization on train, and on val as a baseline; append continuations to `samples` and return the metrics."""
    metrics: dict[str, float] = {}
    for split, name in (("train", "share"), ("val", "baseline")):
        if not (packed / split / "shards.json").is_file():
            continue
        attempts = measure_memorization(
            network,
            ShardReader(packed / split),
            passages=config.copy_prompts,
            prompt_tokens=config.copy_prompt_tokens,
            copy_tokens=config.copy_tokens,
            seed=config.seed,
        )
        if not attempts:
            continue
        copied = sum(attempt.copied_tokens >= config.copy_tokens for attempt in attempts)
        metrics |= proportion(copied, len(attempts), config.confidence).metrics(f"copying.{name}")
        if split == "train":
            metrics["copying.longest"] = float(max(attempt.copied_tokens for attempt in attempts))
            metrics["copying.count"] = float(len(attempts))
            samples += [_continuation_sample(chat_format, attempt) for attempt in attempts[: config.samples]]
    return metrics


def _sample_documents(network: DecodingNetwork, chat_format: ChatFormat, config: EvaluateConfig) -> list[dict[str, Any]]:
    """Sample `samples` documents from the model without a prompt, at temperature 1, without tokens that it has never seen."""
    never = tuple((token, NEVER) for token in network.unseen())
    sampling = SamplingConfig(temperature=1.0, top_p=0.95, logit_bias=never, max_new_tokens=64)
    drawn = [
        list(generate(network, [chat_format.bos_id], sampling, chat_format.stop_ids, seed=config.seed + number))
        for number in range(config.samples)
    ]
    return [{"kind": "beginning", "text": chat_format.decode(ids)} for ids in drawn]


def _conversation_sample(name: str, record: Answer) -> dict[str, Any]:
    messages = [*messages_of(record), {"role": "assistant", "content": record["reply"]}]
    return {"kind": "conversation", "set": name, "right": record["right"], "messages": messages}


def _continuation_sample(chat_format: ChatFormat, attempt: Continuation) -> dict[str, Any]:
    texts = {"prompt": attempt.prompt, "text": attempt.text, "continuation": attempt.continuation}
    return {"kind": "continuation", "copied_tokens": attempt.copied_tokens} | {name: chat_format.decode(ids) for name, ids in texts.items()}
