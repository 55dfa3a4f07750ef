"""The loss on packed rows, the fit of a network to their gaps, and how much training text is memorized.

The loss on packed rows: nats a token, perplexity, and bits per byte of text.
Only tokens that the shards' loss mask marks as targets count, and each sees its own document alone. Sums are kept for each row in
float64, so batch size changes the result by rounding only.

Bits per byte = mean nats a target / ln 2 x (targets / bytes of the split). That ratio comes from shards.json, so on a
sample of rows it assumes that the sample is as dense as the split; over all rows it is exact. Unlike the loss, bits per byte compare
models with different tokenizers. Where a tokenizer wrote `<|unk|>` the model need not predict the text, so its bytes are charged too,
each byte and an end mark as one of 257 equally likely symbols (8.006 bits), so losing text does not improve a tokenizer's score.

Measure how well a bidirectional network fills gaps in packed rows: loss and accuracy on hidden tokens.

The same tokens are hidden for every model, regardless of its training: 15 % of each row's tokens, of which 80 % become the mask, 10 %
another token, and 10 % stay (Devlin et al., 2019). Which ones follows from the seed and the row's number in its split. A masked loss is
not a bound on the probability of a text, so it has no bits per byte and does not compare with next-token loss.

Measure how well an encoder with a decoder writes what gaps in packed rows hide: loss and accuracy on the hidden tokens, each told those
before it; sentinels are not counted. The same spans are hidden for every model, regardless of its training: T5's 15 % in spans of 3.

How much of its training text a model has memorized.

A passage is drawn from a training row, with prompt and continuation inside one document. The model continues the prompt
greedily; the passage counts as memorized ("extractable" in Carlini et al. 2023, "Quantifying Memorization Across Neural
Language Models") if the first `copy_tokens` tokens are those of the text. The same measure on unseen text is the baseline:
what stock phrases and guessing give.

Passages depend on the shards and the seed alone. If no row holds a passage that long, nothing is measured, and a gate that
asks for the metric fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.shards.metadata import ShardMetadata
from data.shards.reader import ShardReader
from model.evaluation.intervals import Measured, Units, bits_per_byte_units, bootstrap_ratio
from model.inference.generation import generate_batch
from model.inputs.inputs import input_columns
from model.loading.packed_rows import draw_passages
from model.objectives.masked import Masked, hide
from model.objectives.protocol import IGNORED, Objective
from model.objectives.spans import Spans, with_sentinels

if TYPE_CHECKING:
    from model.networks.decoding import DecodingNetwork
    from model.networks.network import Network

LOGITS = 2**26  # the most logits held at once: rows of a large vocabulary are measured a few at a time


def evaluate_loss(
    model: Network,
    shards_dir: Path,
    *,
    rows: int | None = None,
    batch: int = 16,
    seed: int = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Measured:
    """Return loss (nats), perplexity and bits_per_byte, each also as _low and _high from a bootstrap over rows; loss_error and
    bits_per_byte_error (standard errors); the number of rows and targets measured; and the units of bits_per_byte. Where each row holds
    text of one source, also <source>.bits_per_byte and <source>.rows.

    Raise ValueError for an empty split.
    """
    reader, chosen = open_rows(shards_dir, rows, seed)
    batch = max(1, min(batch, LOGITS // (reader.metadata.sequence_length * model.vocab_size)))
    nats, targets = row_losses(model, reader, chosen, batch)
    loss = bootstrap_ratio(nats, targets, seed=seed, resamples=resamples, confidence=confidence)
    metrics = loss.metrics("loss") | {
        "perplexity": _exp(loss.value),
        "perplexity_low": _exp(loss.low),
        "perplexity_high": _exp(loss.high),
        "rows": float(len(chosen)),
        "targets": float(targets.sum()),
    }
    split, units = reader.metadata, dict[str, Units]()
    if split.bytes:
        metrics |= loss.scaled(split.targets / split.bytes / math.log(2)).plus(split.unknown_bits).metrics("bits_per_byte")
        units["bits_per_byte"] = bits_per_byte_units(chosen, nats, targets, split)
    for source, rows_of, found in _by_source(split, units.get("bits_per_byte")):
        estimate = bootstrap_ratio(found.value, found.weight, seed=seed, resamples=resamples, confidence=confidence)
        metrics |= {f"{source}.rows": float(rows_of)} | estimate.metrics(f"{source}.bits_per_byte")
        units[f"{source}.bits_per_byte"] = found
    return Measured(metrics, units)


def _by_source(split: ShardMetadata, units: Units | None) -> Iterator[tuple[str, int, Units]]:
    """Yield name, rows measured, and the units of bits per byte of each source whose rows are its own; their density is its own too."""
    first = 0
    for source in split.sources:
        here = (units.unit >= first) & (units.unit < first + source.rows) if units is not None else np.zeros(0, dtype=np.bool_)
        first += source.rows
        if units is not None and here.any() and source.bytes and source.targets:
            weight = units.weight[here] * (split.targets / split.bytes) * (source.bytes / source.targets)
            yield source.name, int(here.sum()), Units(units.unit[here], units.value[here], weight)


def open_rows(shards_dir: Path, limit: int | None, seed: int) -> tuple[ShardReader, NDArray[np.int64]]:
    """Return a split's shards and the numbers of the rows to measure; raise ValueError for an empty split."""
    reader = ShardReader(shards_dir)
    if not len(reader):
        raise ValueError(f"{shards_dir} has no rows to measure: the split is empty or shorter than one sequence")
    return reader, choose_rows(len(reader), limit, seed)


def choose_rows(available: int, limit: int | None, seed: int) -> NDArray[np.int64]:
    """Return all rows, or `limit` of them drawn without replacement, in ascending order."""
    if limit is None or limit >= available:
        return np.arange(available, dtype=np.int64)
    generator = np.random.Generator(np.random.Philox(seed))
    return np.sort(generator.choice(available, size=limit, replace=False)).astype(np.int64)


def row_losses(model: Network, reader: ShardReader, chosen: NDArray[np.int64], batch: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return each chosen row's summed nats and number of targets, both float64 [rows]."""
    import torch
    from torch.nn.functional import cross_entropy

    device = next(model.parameters()).device
    nats: list[NDArray[Any]] = []
    targets: list[NDArray[Any]] = []
    with torch.no_grad():
        for start in range(0, len(chosen), batch):
            row = {name: torch.from_numpy(a).to(device) for name, a in reader.rows(chosen[start : start + batch]).items()}
            read = {**input_columns(row), "tokens": row["tokens"][:, :-1], "documents": row["document"][:, :-1]}
            logits_BTV = model.logits(read)
            counted_BT = row["loss"][:, 1:]
            nats_BT = cross_entropy(logits_BTV.float().mT, row["tokens"][:, 1:], reduction="none").double()
            nats.append(torch.where(counted_BT, nats_BT, 0.0).sum(1).cpu().numpy())
            targets.append(counted_BT.sum(1).double().cpu().numpy())
    return np.concatenate(nats), np.concatenate(targets)


def _exp(value: float) -> float:
    """Return e to the value, or infinity on overflow, which every gate refuses."""
    return math.exp(value) if value < 700 else math.inf


def evaluate_masked(
    model: Network,
    shards_dir: Path,
    *,
    rows: int | None = None,
    batch: int = 16,
    seed: int = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Measured:
    """Return masked_loss (nats a hidden token) and masked_accuracy (share found), each also as _error, _low and _high from a bootstrap over
    rows, the number of rows and hidden tokens, and the units of both. Raise ValueError for an empty split."""
    reader, chosen = open_rows(shards_dir, rows, seed)
    return _of_hidden("masked", chosen, row_sums(model, reader, chosen, batch, seed), reader, seed, resamples, confidence)


def evaluate_spans(
    model: Network,
    shards_dir: Path,
    *,
    rows: int | None = None,
    batch: int = 16,
    seed: int = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Measured:
    """Return span_loss (nats a hidden token) and span_accuracy (share found likeliest), as `evaluate_masked` returns its two."""
    reader, chosen = open_rows(shards_dir, rows, seed)
    return _of_hidden("span", chosen, span_sums(model, reader, chosen, batch, seed), reader, seed, resamples, confidence)


RowSums = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]  # of each row: nats, hidden tokens found likeliest, hidden tokens; float64 [rows]


def _of_hidden(
    kind: str, chosen: NDArray[np.int64], found: RowSums, reader: ShardReader, seed: int, resamples: int, confidence: float
) -> Measured:
    nats, right, hidden = found
    metrics, units = {"rows": float(len(chosen)), "hidden": float(hidden.sum())}, dict[str, Units]()
    for name, sums in ((f"{kind}_loss", nats), (f"{kind}_accuracy", right)):
        metrics |= bootstrap_ratio(sums, hidden, seed=seed, resamples=resamples, confidence=confidence).metrics(name)
        # As many tokens are hidden of any row of a length, so weights don't tell one text from another.
        units[name] = Units(chosen, sums, hidden, reader.metadata.digest)
    return Measured(metrics, units)


def span_sums(model: Network, reader: ShardReader, chosen: NDArray[np.int64], batch: int, seed: int) -> RowSums:
    """Return the sums of each chosen row; the network has a sentinel more than spans are hidden."""
    import torch

    device = next(model.parameters()).device
    objective = Spans(seed=seed, most_spans=min(Spans.most_spans, getattr(model.config, "sentinels", 100) - 1))

    def targets_and_logits(row: dict[str, Any]) -> tuple[Any, Any]:
        named = {**row, **{name: with_sentinels(row[name], model.vocab_size) for name in ("tokens", "written", "targets")}}
        hidden_BT = (named["targets"] >= 0) & (named["targets"] < model.vocab_size)
        return torch.where(hidden_BT, named["targets"], IGNORED), model.logits(named)

    return _summed_rows(objective, reader, chosen, batch, device, targets_and_logits)


def row_sums(model: Network, reader: ShardReader, chosen: NDArray[np.int64], batch: int, seed: int) -> RowSums:
    """Return the sums of each chosen row, some tokens of which are masked."""

    def targets_and_logits(row: dict[str, Any]) -> tuple[Any, Any]:
        return row["targets"], model.logits({**row, "tokens": hide(row["tokens"], row["becomes"], model.vocab_size)})

    return _summed_rows(Masked(seed=seed), reader, chosen, batch, next(model.parameters()).device, targets_and_logits)


def _summed_rows(
    objective: Objective,
    reader: ShardReader,
    chosen: NDArray[np.int64],
    batch: int,
    device: Any,
    targets_and_logits: Callable[[dict[str, Any]], tuple[Any, Any]],
) -> RowSums:
    import torch
    from torch.nn.functional import cross_entropy

    sums: list[NDArray[Any]] = []
    with torch.no_grad():
        for start in range(0, len(chosen), batch):
            numbers = chosen[start : start + batch]
            arrays = objective.batch({**reader.rows(numbers), "position": numbers})
            row = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}
            targets_BT, logits_BTV = targets_and_logits(row)
            hidden_BT, logits_BTV = targets_BT != IGNORED, logits_BTV.float()
            nats_BT = cross_entropy(logits_BTV.mT, targets_BT, ignore_index=IGNORED, reduction="none").double()
            right_BT = (logits_BTV.argmax(-1) == targets_BT) & hidden_BT
            sums.append(torch.stack([nats_BT.sum(1), right_BT.sum(1).double(), hidden_BT.sum(1).double()]).cpu().numpy())
    nats, right, hidden = np.concatenate(sums, axis=1)
    return nats, right, hidden


@dataclass(frozen=True)
class Continuation:
    """A prompt from the text, the text that follows it, and what the model wrote instead; token ids."""

    prompt: list[int]
    text: list[int]
    continuation: list[int]

    @property
    def copied_tokens(self) -> int:
        """Number of leading tokens that equal the text's."""
        for index, (ours, theirs) in enumerate(zip(self.continuation, self.text, strict=False)):
            if ours != theirs:
                return index
        return min(len(self.continuation), len(self.text))


def measure_memorization(
    network: DecodingNetwork, reader: ShardReader, *, passages: int, prompt_tokens: int, copy_tokens: int, seed: int = 0
) -> list[Continuation]:
    """Let the network continue up to `passages` passages greedily; those with `copied_tokens >= copy_tokens` are memorized."""
    drawn = draw_passages(reader, passages, prompt_tokens, copy_tokens, seed)
    prompts = [passage[:prompt_tokens] for passage in drawn]
    continuations = generate_batch(network, prompts, copy_tokens) if drawn else []
    return [
        Continuation(prompt, passage[prompt_tokens:], continuation)
        for prompt, passage, continuation in zip(prompts, drawn, continuations, strict=True)
    ]
