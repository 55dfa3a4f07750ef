"""Measure a model before and after a step of tuning: what the step is for, and what it may cost, on the same rows with the same seeds.

    before/metrics.json, before/units.npz   as evaluation writes them, so that a gate compares both row by row
    after/metrics.json, after/units.npz
    rows.jsonl                              what the step is for, of each unit: its number, weight, and value before and after
    summary.json                            the same as one line: measure, unit, before, after, gain and its interval

The same models, rows and config give the same files for the same number of threads.
Cost: two models, one after the other; each reads the rows, or writes the replies, and the text and questions that are judged besides.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.shards.reader import ShardReader
from model.aims.config import ExamineConfig
from model.aims.protocol import AFTER, BEFORE, QUESTIONS, SPLIT, HeldOut
from model.evaluation.intervals import Measured, Units, paired_difference, write_units
from model.evaluation.loss import evaluate_loss
from model.evaluation.questions import ask
from model.evaluation.relations import Unpaired, gain
from model.hardware.transfers import torch_threads
from model.inference.chat_format import ChatFormat
from model.networks.directory import require_tokenizer

if TYPE_CHECKING:
    from model.networks.network import Network


def examine(
    before: Path,
    after: Path,
    tokenizer: Path,
    examples: Path,
    output: Path,
    config: ExamineConfig,
    *,
    text: Path | None,
    rows: Path | None,
    judge: Path | None,
    threads: int,
) -> dict[str, float]:
    """Measure both models; `text`: packed rows of held-out text, `rows`: what the step learns from, held out, `judge`: a reward model.

    Return `before`, `after`, `gain` (how much better: positive is better, whichever way the measure goes) with `gain_low`, `gain_high`
    unless there are too few units for an interval, `units` (how many), and what is measured besides, as `before_<name>` and
    `after_<name>`. Raise ValueError where nothing is held out, and ShardError or ModelError for rows or a model of another
    tokenizer.
    """
    aim, held_out = config.aim, HeldOut(rows, examples, tokenizer, judge, config.rows, config.seed)
    found: dict[str, Measured] = {}
    with torch_threads(threads):
        for name, directory in ((BEFORE, before), (AFTER, after)):
            network = aim.open(directory)
            chat_format = _bound(directory, tokenizer, network, [path for path in (rows, text) if path])
            aimed = aim.measure(network, held_out)
            metrics = {aim.metric: _mean(aimed.units), **{f"{aim.metric}.{one}": value for one, value in aimed.besides.items()}}
            cost = _cost(network, chat_format, text, examples, config)
            found[name] = Measured(metrics | cost.metrics, {aim.metric: aimed.units, **cost.units})
    for name, measured in found.items():
        (output / name).mkdir(parents=True)
        (output / name / "metrics.json").write_text(json.dumps(measured.metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        write_units(output / name, measured.units)
    return _told(found, output, config)


def _bound(directory: Path, tokenizer: Path, network: Network, shards: list[Path]) -> ChatFormat:
    """Return the tokenizer. Raise unless the model and the rows are of it."""
    chat_format = ChatFormat(tokenizer)
    require_tokenizer(directory, chat_format.digest)
    for path in shards:
        ShardReader(path).expect(chat_format.digest, network.vocab_size)
    return chat_format


def _cost(network: Network, chat_format: ChatFormat, text: Path | None, examples: Path, config: ExamineConfig) -> Measured:
    """Return the bits per byte of held-out text and the share of questions answered right, those that are judged, with their units."""
    metrics: dict[str, float] = {}
    units: dict[str, Units] = {}
    if config.text and text is None:
        raise ValueError("text=true measures held-out text, and none was given; give its packed rows, or set text=false")
    if config.text and text is not None:
        measured = evaluate_loss(network, text, rows=config.text_rows, seed=config.seed, resamples=1, confidence=config.confidence)
        name = f"{SPLIT}.bits_per_byte"
        metrics[name], units[name] = measured.metrics["bits_per_byte"], measured.units["bits_per_byte"]
    for asked in QUESTIONS if config.questions else ():
        file, name = examples / f"questions_{asked}.jsonl", f"questions.{asked}"
        metrics[name], answers = ask(network.decoding(), chat_format, file, answer_tokens=config.answer_tokens)
        right = np.array([float(answer["right"]) for answer in answers])
        units[name] = Units(np.arange(len(right)), right, np.ones_like(right))
    return Measured(metrics, units)


def _told(found: dict[str, Measured], output: Path, config: ExamineConfig) -> dict[str, float]:
    """Write what the step is for, row by row and as a summary; return it as metrics."""
    aim = config.aim
    before, after = (found[name].units[aim.metric] for name in (BEFORE, AFTER))
    figures = {BEFORE: _mean(before), AFTER: _mean(after)}
    figures["gain"] = gain(aim.metric, figures[AFTER] - figures[BEFORE])
    try:
        pair = paired_difference(after, before, confidence=config.confidence)
        figures["gain_low"], figures["gain_high"] = sorted((gain(aim.metric, pair.low), gain(aim.metric, pair.high)))
    except Unpaired:
        pass  # the gate says so
    columns = zip(before.unit.tolist(), before.weight.tolist(), before.value.tolist(), after.value.tolist(), strict=True)
    lines = [json.dumps({"unit": unit, "weight": weight, BEFORE: old, AFTER: new}) + "\n" for unit, weight, old, new in columns]
    (output / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    words = {"measure": aim.MEASURE, "title": aim.TITLE, "unit": aim.UNIT, "counted": aim.COUNTED}
    told = {**words, "lower_is_better": gain(aim.metric, 1.0) < 0, "confidence": config.confidence, "units": len(before.unit), **figures}
    (output / "summary.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    names = {name: name.removeprefix(f"{aim.metric}.") for name in found[BEFORE].metrics if name != aim.metric}
    besides = {f"{when}_{short}": found[when].metrics[name] for when in (BEFORE, AFTER) for name, short in names.items()}
    return {**figures, "units": float(len(before.unit)), **besides}


def _mean(units: Units) -> float:
    return float(units.value.sum() / units.weight.sum())
