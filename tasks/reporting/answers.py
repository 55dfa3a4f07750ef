"""What the models say: conversations and continuations to read, questions asked, and how well each model predicts text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.evaluation.config import Probe
from tasks.reporting.account import Account
from tasks.reporting.charts import Bar, Share
from tasks.reporting.evidence import Evidence
from tasks.reporting.parts import Figure, Passage, Row, Section, Table, Talk, bars_figure, shares_figure
from tasks.reporting.wording import count, number, plural, share

MODELS = {"evaluate.base": "base", "evaluate.chat": "chat", "evaluate.release": "release", "evaluate.int8": "INT8"}
BEST_FIRST = ("evaluate.release", "evaluate.chat", "evaluate.int8", "evaluate.base")
SETS = {"seen": "seen", "heldout": "held out"}
SPLITS = ("train", "val", "test")


def model_name(place: str) -> str:
    """A place of evaluation as the model measured there."""
    return MODELS.get(place, place.partition(".")[2] or place)


def talk_section(account: Account) -> Section | None:
    """Conversations of the best model that has any; text of the earliest, since tuning teaches to answer and not to go on."""
    evidence = account.evidence
    samples = {place: evidence.lines(place, "samples.jsonl") for place in evidence.places("evaluate", BEST_FIRST)}
    from_base = {place: samples[place] for place in evidence.places("evaluate", MODELS)}
    talks = _first(samples, "conversation")
    passages = [_begun(place, sample) for place, sample in _first(from_base, "beginning")]
    passages += [_continued(place, sample) for place, sample in _first(from_base, "continuation")]
    if not talks and not passages:
        return None
    who = f"Conversations are with the {model_name(talks[0][0])} model, which answers with its likeliest words. " if talks else ""
    where = "Seen questions were among its instructions; held-out ones never were, only the books tell their answers. " if talks else ""
    alone = "What stands below them it wrote by itself." if talks and passages else ""
    return Section("talk", "What it says", who + where + alone, talks=tuple(_talk(sample) for _, sample in talks), passages=tuple(passages))


def _first(samples: Mapping[str, list[dict[str, Any]]], kind: str) -> list[tuple[str, dict[str, Any]]]:
    for place, found in samples.items():
        chosen = [(place, sample) for sample in found if sample.get("kind") == kind]
        if chosen:
            return chosen
    return []


def _talk(sample: Mapping[str, Any]) -> Talk:
    turns = tuple((str(message["role"]), str(message["content"])) for message in sample["messages"])
    mark, tone = {True: ("right", "good"), False: ("wrong", "bad")}.get(sample.get("right"), ("", ""))  # type: ignore[arg-type]
    asked = SETS.get(str(sample.get("set")), "").replace(" ", "-")
    return Talk(f"{asked} question".strip(), turns, mark, tone)


def _begun(place: str, sample: Mapping[str, Any]) -> Passage:
    return Passage(f"a beginning, drawn at temperature 1 by the {model_name(place)} model", "", str(sample["text"]))


def _continued(place: str, sample: Mapping[str, Any]) -> Passage:
    copied = sample.get("copied_tokens")
    told = f"; {plural(copied, 'token')} as in the book" if copied is not None else ""
    said, book = str(sample["continuation"]), str(sample.get("text", ""))
    return Passage(f"a passage of train, continued by the {model_name(place)} model{told}", str(sample["prompt"]).lstrip(), said, book)


def measured_section(account: Account) -> Section | None:
    """Questions with intervals, probabilities the recipe asked for, recital, and losses of every model on every split."""
    evidence = account.evidence
    places = evidence.places("evaluate", MODELS)
    figures = [drawn for drawn in (_questions(evidence, places), *(_probes(evidence, place) for place in places)) if drawn]
    rows = [row for place in places for row in _losses(evidence, place)]
    header = ("model", "split", "bits per byte", "interval", "perplexity", "loss")
    tables = (Table("How well it predicts text", header, tuple(rows), frozenset({2, 3, 4, 5}), half=True),) if rows else ()
    lead = " ".join(_recital(evidence, place) for place in places if "copying.share" in evidence.metrics(place))
    return Section("measured", "How good it is", lead, tuple(figures), tables=tables) if figures or tables else None


def _questions(evidence: Evidence, places: list[str]) -> Figure | None:
    shares = []
    for name, label in SETS.items():
        for place in places:
            metrics = evidence.metrics(place)
            value = metrics.get(f"questions.{name}")
            if value is not None:
                low, high = metrics.get(f"questions.{name}_low", value), metrics.get(f"questions.{name}_high", value)
                tone = "strong" if name == "heldout" else "other"
                shares.append(Share(f"{model_name(place)}, {label}", value, low, high, share(value), tone))
    if not shares:
        return None
    asked = {label: max(evidence.metrics(p).get(f"questions.{name}_count", 0.0) for p in places) for name, label in SETS.items()}
    counts = [f"{count(most)} {label}" for label, most in asked.items() if most]
    note = f"Whiskers: {_confidence(evidence, places)} intervals."
    return shares_figure("Questions answered right", shares, f"{note} Asked: {', '.join(counts)}." if counts else note)


def _confidence(evidence: Evidence, places: list[str]) -> str:
    found = {evidence.artifacts[place].config.get("confidence", 0.95) for place in places}
    return " or ".join(share(value) for value in sorted(found))


def _probes(evidence: Evidence, place: str) -> Figure | None:
    metrics = evidence.metrics(place)
    names = {name: name.removeprefix("probe.") for name in metrics if name.startswith("probe.")}
    asked = evidence.artifacts[place].config.get("probes", [])
    names |= {Probe(**probe).metric: f"{probe['prompt']} → {probe['word']}" for probe in asked}
    bars = [Bar(label, metrics[name], number(metrics[name]), tone="other") for name, label in names.items() if name in metrics]
    return bars_figure(f"Probability of the next word, {model_name(place)} model", bars, most=1.0) if bars else None


def _losses(evidence: Evidence, place: str) -> list[Row]:
    metrics, rows = evidence.metrics(place), []
    for split in SPLITS:
        if f"{split}.loss" not in metrics:
            continue
        bits, low, high = (metrics.get(f"{split}.bits_per_byte{end}") for end in ("", "_low", "_high"))
        between = "" if low is None or high is None else f"{number(low)} to {number(high)}"
        told = ("" if bits is None else number(bits), between, number(metrics[f"{split}.perplexity"]), number(metrics[f"{split}.loss"]))
        rows.append(Row((model_name(place), split, *told)))
    return rows


def _recital(evidence: Evidence, place: str) -> str:
    metrics = evidence.metrics(place)
    tokens = evidence.artifacts[place].config.get("copy_tokens", 0)
    baseline = f", {share(metrics['copying.baseline'])} of unseen ones" if "copying.baseline" in metrics else ""
    longest = f"; the longest copy ran for {plural(metrics['copying.longest'], 'token')}" if "copying.longest" in metrics else ""
    recited = f"{share(metrics['copying.share'])} of training passages for {tokens} tokens or more"
    return f"The {model_name(place)} model recites {recited}{baseline}{longest}."
