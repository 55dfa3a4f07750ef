"""Sections on evaluation: conversations, continuations, questions answered, and how well each model predicts text.

Compare the models with n-grams, compressors and guessing on the same text and questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from data.shards.names import SPLITS
from model.evaluation.config import Probe
from tasks.reporting.abilities import emergence_figure, emergence_table, thinking_figure
from tasks.reporting.charts import Bar, Share
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Figure, ModelText, Row, Section, Table, Talk, bars_figure, shares_figure
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, model_form, number, plural, share

SETS = {
    **{"seen": "seen", "heldout": "held out", "follow_ups": "by a pronoun"},
    **{"blind": "held out, without the picture", "shuffled": "held out, frames shuffled"},
    **{"reasoning": "reasoned, taught", "hops": "several hops", "arithmetic": "arithmetic"},
    **{"templates": "templates never taught", "unknown": "declined, in no book"},
    **{"passages": "next events, taught", "events": "next events, held out", "programs": "programs"},
    **{"program_templates": "programs never taught", "gym": "reasoning-gym", "gym_heldout": "reasoning-gym, held out"},
}


def model_name(position: str) -> str:
    """Return the model that was evaluated at a position."""
    return model_form(position.partition(".")[2] or position)


def best_first(results: Results) -> list[str]:
    """Return the positions of evaluations: the released model's, the chat model's, its variants', then the others."""
    variants = [f"evaluate.{name}" for name in results.variants()]
    return results.positions("evaluate", ["evaluate.release", "evaluate.chat", *variants])


def samples_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build conversations with the best model that has any, and text by the earliest, since tuned models answer and don't continue."""
    results = run.results
    samples = {position: results.lines(position, "samples.jsonl") for position in positions}
    best = {position: samples[position] for position in best_first(results)}
    talks = _first(best, "conversation")
    passages = [_beginning(position, sample) for position, sample in _first(samples, "beginning")]
    passages += [_continuation(position, sample) for position, sample in _first(samples, "continuation")]
    if not talks and not passages:
        return None
    who = f"Conversations are with the {model_name(talks[0][0])} model, which gives its likeliest answers. " if talks else ""
    where = "It was taught the answers to seen questions; answers to held-out ones are in its books only. " if talks else ""
    alone = "The texts below them it wrote by itself." if talks and passages else ""
    shown = tuple(_talk(sample) for _, sample in talks)
    return Section("talk", "What it says", who + where + alone, talks=shown, passages=tuple(passages))


def measurements_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the questions with their intervals, the probabilities that the recipe asks for, and each model's losses on each split."""
    results = run.results
    figures = [drawn for drawn in (_questions(results, positions), *(_probes(results, position) for position in positions)) if drawn]
    figures += [drawn for position in positions if (drawn := thinking_figure(results.metrics(position), model_name(position)))]
    figures += [drawn for position in positions if (drawn := emergence_figure(results.metrics(position), model_name(position)))]
    predicted = ("model", "split", "bits per byte", "interval", "perplexity", "loss")
    filled = ("model", "split", "hidden tokens found", "interval", "of", "loss")
    tables = tuple(
        Table(caption, header, tuple(rows), frozenset({2, 3, 4, 5}), half=True)
        for caption, header, measured in (("How well it predicts text", predicted, _losses), ("How well it fills gaps", filled, _gaps))
        if (rows := [row for position in positions for row in measured(results, position)])
    )
    emerged = (emergence_table(results, position, model_name(position)) for position in positions)
    tables += tuple(table for table in emerged if table is not None)
    lead = " ".join(_memorized(results, position) for position in positions if "copying.share" in results.metrics(position))
    return Section("measured", "How good it is", lead, tuple(figures), tables=tables) if figures or tables else None


SAMPLES = Topic("samples", 10, samples_section)
MEASUREMENTS = Topic("measurements", 30, measurements_section)


def _first(samples: Mapping[str, list[dict[str, Any]]], kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the samples of a kind from the first position that has some, each with the position."""
    for position, found in samples.items():
        chosen = [(position, sample) for sample in found if sample.get("kind") == kind]
        if chosen:
            return chosen
    return []


def _talk(sample: Mapping[str, Any]) -> Talk:
    turns = tuple((str(message["role"]), str(message["content"])) for message in sample["messages"])
    mark, tone = {True: ("right", "good"), False: ("wrong", "bad")}.get(sample.get("right"), ("", ""))  # type: ignore[arg-type]
    chosen = str(sample.get("set", ""))
    asked = f"{SETS[chosen].replace(' ', '-')} question" if chosen in SETS else chosen or "question"
    return Talk(asked, turns, mark, tone)


def _beginning(position: str, sample: Mapping[str, Any]) -> ModelText:
    return ModelText(f"written from nothing by the {model_name(position)} model, at temperature 1", "", str(sample["text"]))


def _continuation(position: str, sample: Mapping[str, Any]) -> ModelText:
    copied = sample.get("copied_tokens")
    same = f"; {plural(copied, 'token')} as in the book" if copied is not None else ""
    prompt, text, book = str(sample["prompt"]).lstrip(), str(sample["continuation"]), str(sample.get("text", ""))
    return ModelText(f"a passage of train, continued by the {model_name(position)} model{same}", prompt, text, book)


def _questions(results: Results, positions: Mapping[str, str]) -> Figure | None:
    shares = []
    asked_later = {f"{name}_later": f"{label}, after others" for name, label in SETS.items()}
    for name, label in (SETS | asked_later).items():
        for position in positions:
            metrics = results.metrics(position)
            value = metrics.get(f"questions.{name}")
            if value is not None:
                low, high = metrics.get(f"questions.{name}_low", value), metrics.get(f"questions.{name}_high", value)
                tone = "strong" if name == "heldout" else "other"
                shares.append(Share(f"{model_name(position)}, {label}", value, low, high, share(value), tone))
    if not shares:
        return None
    asked = {label: max(results.metrics(p).get(f"questions.{name}_count", 0.0) for p in positions) for name, label in SETS.items()}
    counts = [f"{count(most)} {label}" for label, most in asked.items() if most]
    note = f"Whiskers are {_confidence(results, positions)} intervals."
    return shares_figure("Questions answered right", shares, f"{note} Asked: {', '.join(counts)}." if counts else note)


def _confidence(results: Results, positions: Mapping[str, str]) -> str:
    found = {results.artifacts[position].config.get("confidence", 0.95) for position in positions}
    return " or ".join(share(value) for value in sorted(found))


def _probes(results: Results, position: str) -> Figure | None:
    metrics = results.metrics(position)
    names = {name: name.removeprefix("probe.") for name in metrics if name.startswith("probe.")}
    asked = results.artifacts[position].config.get("probes", [])
    names |= {Probe(**probe).metric: f"{probe['prompt']} → {probe['word']}" for probe in asked}
    bars = [Bar(label, metrics[name], number(metrics[name]), tone="other") for name, label in names.items() if name in metrics]
    return bars_figure(f"Probability of the next word, {model_name(position)} model", bars, most=1.0) if bars else None


def _losses(results: Results, position: str) -> list[Row]:
    metrics, rows = results.metrics(position), []
    for split in SPLITS:
        if f"{split}.loss" not in metrics:
            continue
        bits, low, high = (metrics.get(f"{split}.bits_per_byte{end}") for end in ("", "_low", "_high"))
        interval = "" if low is None or high is None else f"{number(low)} to {number(high)}"
        losses = ("" if bits is None else number(bits), interval, number(metrics[f"{split}.perplexity"]), number(metrics[f"{split}.loss"]))
        rows.append(Row((model_name(position), split, *losses)))
    return rows


def _gaps(results: Results, position: str) -> list[Row]:
    metrics, rows = results.metrics(position), []
    for split, kind in product(SPLITS, ("masked", "span")):
        if f"{split}.{kind}_accuracy" not in metrics:
            continue
        found, low, high = (share(metrics[f"{split}.{kind}_accuracy{end}"]) for end in ("", "_low", "_high"))
        hidden, loss = count(metrics[f"{split}.hidden"]), number(metrics[f"{split}.{kind}_loss"])
        rows.append(Row((model_name(position), split, found, f"{low} to {high}", hidden, loss)))
    return rows


def _memorized(results: Results, position: str) -> str:
    """Return how much of its training text a model recites, as a sentence."""
    metrics = results.metrics(position)
    tokens = results.artifacts[position].config.get("copy_tokens", 0)
    baseline = f", and {share(metrics['copying.baseline'])} of unseen ones" if "copying.baseline" in metrics else ""
    longest = f"; its longest copy is {plural(metrics['copying.longest'], 'token')}" if "copying.longest" in metrics else ""
    recited = f"{share(metrics['copying.share'])} of training passages for {tokens} tokens or more"
    return f"The {model_name(position)} model recites {recited}{baseline}{longest}."


COMPARED = {
    "ngram": "n-grams, counted on train",
    "unigram": "single tokens, counted on train",
    "zstd_after_train": "zstd, after reading train",
    "zstd": "zstd alone",
    "xz": "xz alone",
}


def baselines_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build a table of bits per byte by split, best first, and one of questions with chance."""
    results = run.results
    tables = [table for position in positions for table in (_predicting(results, position), _answering(results, position)) if table]
    if not tables:
        return None
    held_out = not any(results.metrics(position).get(f"{split}.documents_in_train") for position in positions for split in SPLITS)
    lead = (
        "A model is worth its training where it beats what needs none. All are measured on the same text; those that count, and zstd in "
        "its first form, have read the training text, as the model has."
        if held_out
        else "Nothing was held out: whatever has read the training text has read what is predicted here, so these figures say how well "
        "each remembers."
    )
    return Section("baselines", "What it is compared with", lead, tables=tuple(tables))


BASELINES = Topic("baselines", 28, baselines_section)


def _predicting(results: Results, position: str) -> Table | None:
    compared = results.metrics(position)
    splits = [split for split in SPLITS if f"ngram.{split}.bits_per_byte" in compared]
    if not splits:
        return None
    found = {label: [compared.get(f"{name}.{split}.bits_per_byte") for split in splits] for name, label in COMPARED.items()}
    ours = {
        f"{model_name(evaluated)} model": [results.metrics(evaluated).get(f"{split}.bits_per_byte") for split in splits]
        for evaluated in best_first(results)
    }
    ranked = sorted({**found, **ours}.items(), key=lambda item: min((bits for bits in item[1] if bits is not None), default=float("inf")))
    rows = tuple(
        Row((label, *("" if bits is None else number(bits) for bits in figures)), "good" if label in ours else "")
        for label, figures in ranked
        if any(bits is not None for bits in figures)
    )
    return Table("Bits for each byte of text", ("by", *splits), rows, frozenset(range(1, len(splits) + 1)), half=True)


def _answering(results: Results, position: str) -> Table | None:
    compared = results.metrics(position)
    sets = [name for name in SETS if f"chance.questions.{name}" in compared]
    asked = [evaluated for evaluated in best_first(results) if any(f"questions.{name}" in results.metrics(evaluated) for name in sets)]
    if not asked:
        return None
    rows = [Row((f"{model_name(evaluated)} model", *_shares(results.metrics(evaluated), "questions", sets)), "good") for evaluated in asked]
    rows.append(Row(("guessing among the choices", *_shares(compared, "chance.questions", sets))))
    header = ("by", *(SETS[name] for name in sets))
    return Table("Questions answered right", header, tuple(rows), frozenset(range(1, len(sets) + 1)), half=True)


def _shares(metrics: Mapping[str, float], prefix: str, sets: list[str]) -> tuple[str, ...]:
    return tuple(share(metrics[f"{prefix}.{name}"]) if f"{prefix}.{name}" in metrics else "" for name in sets)
