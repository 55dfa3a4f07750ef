"""Measure how close a quantized form is to its model, in the program that its users run.

Both read the same documents, each document alone. Where p is the model's distribution of the next token and q the form's:

    kl      mean over targets of sum p (log p - log q), nats a token; 0: the same
    top1    share of targets where both have the same likeliest token
    bits_per_byte_ratio    bits per byte of the form / of the model

Each has a bootstrap interval over rows. The form passes if bounds on these hold; a bound that could not be judged fails.
Speed differs from run to run, so it is returned as a metric but not written to a file.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from data.shards.schema import document_spans
from model.evaluation.gate import FILE, HEADER, VERDICT, FidelityConfig, FidelitySettings, judge, passed, rows
from model.evaluation.intervals import Units, bits_per_byte_units, bootstrap_ratio, write_units
from model.evaluation.loss import open_rows
from model.evaluation.tools import FolioTool, Tool, open_tool, tool_of
from model.hardware.transfers import torch_threads
from model.networks.directory import read_config

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROMPT = 8


def measure_fidelity(model: Path, variant: Path, packed: Path, output: Path, config: FidelityConfig, *, threads: int) -> dict[str, float]:
    """Compare the form in `variant` with the model in `model` on rows of `packed`; write metrics.json, units.npz and verdict.json.

    Metrics: kl, top1 and bits_per_byte_ratio, each with `_low`, `_high` and `_error`; bits_per_byte and parent_bits_per_byte; rows and
    targets; memory_bytes and parent_memory_bytes (of the weights); tokens_per_second and parent_tokens_per_second (greedy, one row, the
    fastest of three); passed, overruled (1 or 0).
    """
    settings = config.settings
    reader, chosen = open_rows(packed, settings.rows, settings.seed)
    network, vocab_size = read_config(model)
    sums: list[_Sums] = []
    speeds: dict[str, float] = {}
    with torch_threads(threads):
        ours, theirs = FolioTool(model, network.context, threads), open_tool(variant, network.context, threads)
        try:
            for number in chosen:
                columns = reader.rows([int(number)])
                sums.append(_row(columns["tokens"][0], columns["document"][0], columns["loss"][0], ours, theirs, vocab_size))
            memory = {"memory_bytes": float(theirs.memory), "parent_memory_bytes": float(ours.memory)}
            if settings.speed_tokens and "generation" in network.SUPPORTS:
                prompt = reader.rows([int(chosen[0])])["tokens"][0][:PROMPT].tolist()
                count = min(settings.speed_tokens, network.context - len(prompt))
                speeds = {"tokens_per_second": _speed(theirs, prompt, count), "parent_tokens_per_second": _speed(ours, prompt, count)}
        finally:
            theirs.close()
            ours.close()
    found = _Sums(*(np.array(column) for column in zip(*sums, strict=True)))
    metrics, units = _estimates(found, chosen, reader.metadata, settings, causal="causal" in network.SUPPORTS)
    metrics |= memory
    verdicts = judge(metrics, config.bounds)
    holds = passed(verdicts)
    output.mkdir(parents=True, exist_ok=True)
    cells = [dict(zip(HEADER, row, strict=True)) for row in rows(verdicts)]
    verdict = {"rows": cells, "passed": holds, "overruled": config.overrule if not holds else None, "tool": tool_of(variant)}
    (output / VERDICT).write_text(json.dumps(verdict, indent=1) + "\n", encoding="utf-8")
    (output / FILE).write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_units(output, units)
    return metrics | speeds | {"passed": float(holds), "overruled": float(not holds and bool(config.overrule))}


class _Sums(NamedTuple):
    """Sums over a row's targets, or an array of each."""

    targets: Any
    nats: Any
    parent_nats: Any
    kl: Any
    same: Any


def _row(tokens: Any, documents: Any, counted: Any, ours: Tool, theirs: Tool, vocab_size: int) -> _Sums:
    total = np.zeros(5)
    for start, end in document_spans(documents):
        wanted = np.flatnonzero(counted[start + 1 : end])
        if not len(wanted):
            continue
        ids, nexts = tokens[start : end - 1].tolist(), tokens[start + 1 : end].astype(np.int64)[wanted]
        log_p, log_q = (_log_softmax(tool.logits(ids)[wanted, :vocab_size]) for tool in (ours, theirs))
        places = np.arange(len(wanted))
        kl = (np.exp(log_p) * (log_p - log_q)).sum(1)
        same = log_p.argmax(1) == log_q.argmax(1)
        total += [len(wanted), -log_q[places, nexts].sum(), -log_p[places, nexts].sum(), kl.sum(), same.sum()]
    return _Sums(*total)


def _log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max(1, keepdims=True)
    result: NDArray[np.float64] = wide - np.log(np.exp(wide).sum(1, keepdims=True))
    return result


def _speed(tool: Tool, prompt: list[int], count: int) -> float:
    """Return tokens a second, of the fastest of three."""
    tool.greedy(prompt, 1)
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        written = len(tool.greedy(prompt, count))
        taken.append((time.perf_counter() - began) / written)
    return 1 / min(taken)


def _estimates(
    found: _Sums, chosen: NDArray[np.int64], split: Any, settings: FidelitySettings, *, causal: bool
) -> tuple[dict[str, float], dict[str, Units]]:
    metrics = {"rows": float(len(chosen)), "targets": float(found.targets.sum())}
    drawn: dict[str, Any] = {"seed": settings.seed, "resamples": settings.resamples, "confidence": settings.confidence}
    measured = {"kl": (found.kl, found.targets), "top1": (found.same, found.targets)}
    if causal:
        measured["bits_per_byte_ratio"] = (found.nats, found.parent_nats)
    for name, (values, weights) in measured.items():
        metrics |= bootstrap_ratio(values, weights, **drawn).metrics(name)
    units = {"kl": Units(chosen, found.kl, found.targets), "top1": Units(chosen, found.same, found.targets)}
    if causal and split.bytes:
        per_target = split.targets / split.bytes / math.log(2) / float(found.targets.sum())
        metrics["bits_per_byte"] = float(found.nats.sum()) * per_target + split.unknown_bits
        metrics["parent_bits_per_byte"] = float(found.parent_nats.sum()) * per_target + split.unknown_bits
        units["bits_per_byte"] = bits_per_byte_units(chosen, found.nats, found.targets, split)
    return metrics, units
