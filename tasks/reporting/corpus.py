"""The corpus: how many documents, characters and tokens each step left, what was removed and why, and what the corpus is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tasks.reporting.charts import Bar, Level, funnel_chart
from tasks.reporting.hook import Topic, title_of
from tasks.reporting.page_cache import cached
from tasks.reporting.parts import Figure, Section, bars_figure, figure
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, joined, number, plural, share, words

SPLITS = {"train": "train", "val": "validation", "test": "test"}
REMOVALS = ("removed", "duplicate", "quarantined")
REASONS, MOST_GROUPS = 4, 12


def corpus_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the funnel of documents and characters, the splits, the tokens, and what the corpus is made of."""
    results = run.results
    funnel = results.json("audit", "funnel.json")
    figures = [*(_funnel(funnel, unit) for unit in ("documents", "characters")), _splits(funnel)] if funnel else []
    more = (_tokens(results), *(_groups(funnel, kind) for kind in ("languages", "formats", "sources")))
    figures += [drawn for drawn in more if drawn]
    return Section("corpus", "What went in", _lead(results, funnel), tuple(figures)) if figures else None


CORPUS = Topic("the corpus", 50, corpus_section)


def _lead(results: Results, funnel: Mapping[str, Any] | None) -> str:
    sentences = []
    if funnel and funnel["stages"]:
        losses = [f"{s['stage']} removed {count(s['documents_removed'])}" for s in funnel["stages"] if s["documents_removed"]]
        lost = f"; {joined(losses)}" if losses else ""
        came = plural(funnel["stages"][0]["documents_in"], "document")
        sentences.append(f"{came} came in, {count(funnel['documents_kept'])} stayed{lost}.")
        if counted := results.json("census", "census.json"):
            sentences.append(_entries(counted))
        faults = [s["fault"] for s in funnel["stages"] if not s["balanced"]]
        unbalanced = f"The ledgers do not account for everything: {'; '.join(faults)}."
        sentences.append(unbalanced if faults else "Every document and character is accounted for.")
        if written := funnel["synthetic"]["documents"]:
            sentences.append(f"A machine wrote {count(written)} of them, {share(funnel['synthetic']['share'])} of the characters.")
    fitted = results.metrics("tokenizer")
    if fitted:
        size, length = plural(fitted["vocab_size"], "token"), number(fitted["bytes_per_token"])
        sentences.append(f"The vocabulary has {size} of {length} bytes on average.")
    return " ".join(sentences)


def _entries(census: Mapping[str, Any]) -> str:
    """Say what became of the entries of the sources."""
    totals: Counter[str] = Counter()
    for fates in census.values():
        totals.update({fate: sum(entry["entries"] for entry in kinds.values()) for fate, kinds in fates.items() if fate != "opened"})
    said = {"read": "read", "set aside": "set aside", "not asked for": "of kinds that the recipe doesn't ask for"}
    parts = [f"{count(totals[fate])} {what}" for fate, what in said.items() if totals[fate]]
    return f"Where the sources point lie {plural(sum(totals.values()), 'file')}: {joined(parts)}."


def _funnel(funnel: Mapping[str, Any], unit: str) -> Figure:
    levels: list[Level] = []
    if funnel["stages"] and funnel["stages"][0][f"{unit}_in"] != funnel["stages"][0][unit]:
        came = funnel["stages"][0][f"{unit}_in"]
        levels.append(Level("found", came, count(came)))
    for stage in funnel["stages"]:
        reasons = _reasons(stage, unit) if levels else ""
        levels.append(Level(title_of(stage["stage"]), stage[unit], count(stage[unit]), reasons))
    caption = unit.capitalize()
    return figure(caption, lambda width: cached(funnel_chart, levels, width=width, description=caption))


def _reasons(stage: Mapping[str, Any], unit: str) -> str:
    """Return what a step removed, the most first, such as "-12: 6 near document, 6 exact document"; "" if it removed nothing."""
    lost = stage[f"{unit}_in"] - stage[unit]
    by_rule: dict[str, float] = {}
    for action, rules in stage["rules"].items():
        if unit == "documents" and action in REMOVALS:
            by_rule |= {rule: entry["documents"] for rule, entry in rules.items()}
        elif unit == "characters":
            by_rule |= {rule: by_rule.get(rule, 0) + entry["net"] for rule, entry in rules.items()}
    largest = sorted(((size, rule) for rule, size in by_rule.items() if size), key=lambda one: (-abs(one[0]), one[1]))
    if not largest:
        return ""
    parts = [f"{count(size)} {words(rule)}" if size > 0 else f"{count(-size)} more by {words(rule)}" for size, rule in largest[:REASONS]]
    parts += [plural(len(largest) - REASONS, "more rule")] if len(largest) > REASONS else []
    return f"{'−' if lost >= 0 else '+'}{count(abs(lost))}: {', '.join(parts)}"


def _splits(funnel: Mapping[str, Any]) -> Figure:
    bars = [Bar(SPLITS.get(s["split"], s["split"]), s["characters"], count(s["characters"]), plural(s["documents"], "document"), "other")
            for s in funnel["splits"]]  # fmt: skip
    shared = sum(s["characters"] for s in funnel["splits"]) > funnel["characters_kept"]
    return bars_figure("Characters by split", bars, "The splits of this recipe share documents." if shared else "")


def _tokens(results: Results) -> Figure | None:
    packed = results.metrics("pack")
    present = [split for split in SPLITS if f"{split}_tokens" in packed]
    if not present:
        return None
    bars = [Bar(SPLITS[split], packed[f"{split}_tokens"], count(packed[f"{split}_tokens"]), tone="other") for split in present]
    mixed = packed.get("instruction_rows", 0.0)
    return bars_figure("Tokens by split", bars, f"Train includes {plural(mixed, 'row')} of conversation." if mixed else "")


def _groups(funnel: Mapping[str, Any] | None, kind: str) -> Figure | None:
    """Draw the characters kept by language, format or source, if there is more than one."""
    groups = dict(funnel[kind]) if funnel else {}
    if len(groups) < 2:
        return None
    ordered = sorted(groups.items(), key=lambda item: (-item[1]["characters"], item[0]))
    bars = [Bar(name, entry["characters"], count(entry["characters"]), plural(entry["documents"], "document")) for name, entry in ordered]
    rest = f"And {len(bars) - MOST_GROUPS} more." if len(bars) > MOST_GROUPS else ""
    return bars_figure(f"Characters kept, by {kind.removesuffix('s')}", bars[:MOST_GROUPS], rest)
