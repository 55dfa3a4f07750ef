"""All that is measured of one model, written down: the numbers, the answers, and samples for people to read.

Guarantee: deterministic; the same model, shards and config give the same files for the same number of threads, and the
same numbers to rounding for any. Works on fp32 and INT8 directories alike. A model is refused that was not made with this
tokenizer's shards (bound by digest).
Cost: one forward pass over the rows, one batch of greedy answers; questions take a few seconds a thousand.
When it can't: a split that is asked for and is missing, or questions without examples, raise before any model runs.

Files: metrics.json, samples.jsonl, and with questions answers_seen.jsonl and answers_heldout.jsonl.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.evaluation.config import EvaluateConfig
from model.evaluation.intervals import share
from model.evaluation.loss import evaluate_loss
from model.evaluation.memorization import Continuation, measure_memorization
from model.evaluation.probes import probabilities
from model.evaluation.questions import Answer, ask, write_records
from model.loading.shards import ShardReader

if TYPE_CHECKING:
    from model.inference.chat_format import ChatFormat
    from model.networks.decoder import Decoder

SETS = ("seen", "heldout")


def evaluate(
    model_dir: Path,
    tokenizer: Path,
    packed: Path,
    examples: Path | None,
    output: Path,
    config: EvaluateConfig,
    *,
    threads: int,
) -> dict[str, float]:
    """Measure the model in `model_dir` on `packed/<split>` and on `examples/questions_*.jsonl`; write into `output`.

    Metrics: `<split>.loss`, `.perplexity`, `.bits_per_byte` (each with `_low`, `_high`), `.rows`, `.targets`;
    `questions.seen` and `questions.heldout` (share right, Wilson interval), each with `_count` and `_unasked` (too
    long to put); `copying.share` and `copying.longest` (tokens) on the training split, `copying.baseline` on
    validation; `probe.<prompt>.<word>`.
    """
    from model.inference.chat_format import ChatFormat
    from model.inference.open_model import open_model
    from model.networks.binding import expect_tokenizer

    readers = {split: ShardReader(packed / split) for split in config.splits}
    if config.questions and examples is None:
        raise ValueError("questions=true, and no examples were given to ask from; give them or set questions=false")
    chat_format, model = ChatFormat(tokenizer), open_model(model_dir)
    expect_tokenizer(model_dir, chat_format.digest)
    for reader in readers.values():
        reader.expect(chat_format.digest, model.vocab_size)
    output.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, float] = {}
    samples: list[dict[str, Any]] = []
    with thread_count(threads):
        for split in config.splits:
            measured = evaluate_loss(model, packed / split, rows=config.rows, seed=config.seed,
                                     resamples=config.resamples, confidence=config.confidence)  # fmt: skip
            metrics |= {f"{split}.{name}": value for name, value in measured.items()}
        if config.questions and examples is not None:
            metrics |= _ask_sets(model, chat_format, examples, output, config, samples)
        if config.copying:
            metrics |= _copying(model, chat_format, packed, config, samples)
        for probe in config.probes:
            metrics[probe.metric] = probabilities(model, chat_format, probe.prompt, [probe.word])[0]
        samples += _beginnings(model, chat_format, config)
    (output / "metrics.json").write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_records(output / "samples.jsonl", samples)
    return metrics


def _ask_sets(
    model: Decoder, chat_format: ChatFormat, examples: Path, output: Path, config: EvaluateConfig,
    samples: list[dict[str, Any]],
) -> dict[str, float]:  # fmt: skip
    metrics: dict[str, float] = {}
    for name in SETS:
        path = examples / f"questions_{name}.jsonl"
        _, records = ask(model, chat_format, path, answer_tokens=config.answer_tokens)
        write_records(output / f"answers_{name}.jsonl", records)
        right = sum(record["right"] for record in records)
        metrics |= share(right, len(records), config.confidence).metrics(f"questions.{name}")
        metrics[f"questions.{name}_count"] = float(len(records))
        metrics[f"questions.{name}_unasked"] = float(sum(not record["asked"] for record in records))
        samples += [_conversation(name, record) for record in _spread(records, config.samples)]
    return metrics


def _spread(records: list[Answer], count: int) -> list[Answer]:
    """`count` records from all over the file, since neighbours ask alike."""
    return [records[index * len(records) // count] for index in range(min(count, len(records)))]


def _copying(
    model: Decoder, chat_format: ChatFormat, packed: Path, config: EvaluateConfig, samples: list[dict[str, Any]]
) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for split, name in (("train", "share"), ("val", "baseline")):
        if not (packed / split / "shards.json").is_file():
            continue
        tried = measure_memorization(model, ShardReader(packed / split), passages=config.copy_prompts, seed=config.seed,
                        prompt_tokens=config.copy_prompt_tokens, copy_tokens=config.copy_tokens)  # fmt: skip
        if not tried:
            continue
        recited = sum(attempt.copied_tokens >= config.copy_tokens for attempt in tried)
        metrics |= share(recited, len(tried), config.confidence).metrics(f"copying.{name}")
        if split == "train":
            metrics["copying.longest"] = float(max(attempt.copied_tokens for attempt in tried))
            metrics["copying.count"] = float(len(tried))
            samples += [_continuation(chat_format, attempt) for attempt in tried[: config.samples]]
    return metrics


def _beginnings(model: Decoder, chat_format: ChatFormat, config: EvaluateConfig) -> list[dict[str, Any]]:
    """Documents as the model begins them by itself, drawn at temperature 1: `samples` of them."""
    from model.inference.config import SamplingConfig
    from model.inference.generation import generate

    sampling = SamplingConfig(temperature=1.0, top_k=None, top_p=0.95, max_new_tokens=64)
    drawn = [
        list(generate(model, [chat_format.bos_id], sampling, chat_format.stop_ids, seed=config.seed + number))
        for number in range(config.samples)
    ]
    return [{"kind": "beginning", "text": chat_format.decode(ids)} for ids in drawn]


def _conversation(name: str, record: Answer) -> dict[str, Any]:
    said = (("user", record["question"]), ("assistant", record["reply"]))
    messages = [{"role": role, "content": content} for role, content in said]
    return {"kind": "conversation", "set": name, "right": record["right"], "messages": messages}


def _continuation(chat_format: ChatFormat, attempt: Continuation) -> dict[str, Any]:
    texts = {"prompt": attempt.prompt, "text": attempt.text, "continuation": attempt.continuation}
    return {"kind": "continuation", "copied_tokens": attempt.copied_tokens} | {name: chat_format.decode(ids) for name, ids in texts.items()}


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """torch with this many threads, and as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
