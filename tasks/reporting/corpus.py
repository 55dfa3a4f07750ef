"""The corpus: how many documents, characters and tokens came through each step, what went and why, and what each rule did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.reporting.account import Account
from tasks.reporting.charts import Bar
from tasks.reporting.evidence import Evidence
from tasks.reporting.examples import example_tables
from tasks.reporting.funnel import Level, funnel_chart
from tasks.reporting.parts import Figure, Section, bars_figure, figure
from tasks.reporting.wording import count, joined, number, plural, share, words

STEPS = {"ingest": "read", "clean": "cleaned", "filter": "filtered", "dedup": "deduplicated", "decontaminate": "decontaminated"}
STEPS |= {"split": "split"}
SPLITS = {"train": "train", "val": "validation", "test": "test"}
ACTIONS = {"removed": "strong", "cut": "strong", "duplicate": "other", "quarantined": "other"}
GONE = ("removed", "duplicate", "quarantined")
REASONS, MOST_GROUPS = 4, 12


def funnel_section(account: Account) -> Section | None:
    """Documents and characters by step, with what went and why; splits, tokens, and what the corpus is made of."""
    evidence = account.evidence
    found = evidence.json("audit", "funnel.json")
    figures = [*(_funnel(found, what) for what in ("documents", "characters")), _splits(found)] if found else []
    figures += [told for told in (_tokens(evidence), *(_made_of(found, kind) for kind in ("languages", "formats", "sources"))) if told]
    return Section("corpus", "What went in", _lead(evidence, found), tuple(figures)) if figures else None


def _lead(evidence: Evidence, found: Mapping[str, Any] | None) -> str:
    sentences = []
    if found and found["stages"]:
        gone = [f"{s['stage']} removed {count(s['documents_removed'])}" for s in found["stages"] if s["documents_removed"]]
        lost = f"; {joined(gone)}" if gone else ""
        came = plural(found["stages"][0]["documents_in"], "document")
        sentences.append(f"{came} came in, {count(found['documents_kept'])} stayed{lost}.")
        faults = [s["fault"] for s in found["stages"] if not s["balanced"]]
        unlike = f"The ledgers do not account for everything: {'; '.join(faults)}."
        sentences.append(unlike if faults else "Every document and character is accounted for.")
        if written := found["synthetic"]["documents"]:
            sentences.append(f"A machine wrote {count(written)} of them, {share(found['synthetic']['share'])} of the characters.")
    fitted = evidence.metrics("tokenizer")
    if fitted:
        kinds, each = plural(fitted["vocab_size"], "token"), number(fitted["bytes_per_token"])
        sentences.append(f"The vocabulary has {kinds}; one holds {each} bytes on average.")
    return " ".join(sentences)


def _funnel(found: Mapping[str, Any], what: str) -> Figure:
    levels: list[Level] = []
    if found["stages"] and found["stages"][0][f"{what}_in"] != found["stages"][0][what]:
        came = found["stages"][0][f"{what}_in"]
        levels.append(Level("found", came, count(came)))
    for stage in found["stages"]:
        reasons = _reasons(stage, what) if levels else ""
        levels.append(Level(STEPS.get(stage["stage"], stage["stage"]), stage[what], count(stage[what]), reasons))
    caption = what.capitalize()
    return figure(caption, lambda width: funnel_chart(levels, width=width, description=caption))


def _reasons(stage: Mapping[str, Any], what: str) -> str:
    """What went at a stage, the most first, such as "-12: 6 near document, 6 exact document"; "" when nothing did."""
    lost = stage[f"{what}_in"] - stage[what]
    if what == "documents":
        went = {rule: entry["documents"] for action in GONE for rule, entry in stage["rules"].get(action, {}).items()}
    else:
        went = {}
        for rules in stage["rules"].values():
            for rule, entry in rules.items():
                went[rule] = went.get(rule, 0) + entry["net"]
    told = sorted(((size, rule) for rule, size in went.items() if size), key=lambda one: (-abs(one[0]), one[1]))
    if not told:
        return ""
    parts = [f"{count(size)} {words(rule)}" if size > 0 else f"{count(-size)} more by {words(rule)}" for size, rule in told[:REASONS]]
    parts += [f"{len(told) - REASONS} more rules"] if len(told) > REASONS else []
    return f"{'−' if lost >= 0 else '+'}{count(abs(lost))}: {', '.join(parts)}"


def _splits(found: Mapping[str, Any]) -> Figure:
    bars = [Bar(SPLITS.get(s["split"], s["split"]), s["characters"], count(s["characters"]), plural(s["documents"], "document"), "other")
            for s in found["splits"]]  # fmt: skip
    shared = sum(s["characters"] for s in found["splits"]) > found["characters_kept"]
    return bars_figure("Characters by split", bars, "The splits of this recipe share documents." if shared else "")


def _tokens(evidence: Evidence) -> Figure | None:
    packed = evidence.metrics("pack")
    present = [split for split in SPLITS if f"{split}_tokens" in packed]
    if not present:
        return None
    bars = [Bar(SPLITS[split], packed[f"{split}_tokens"], count(packed[f"{split}_tokens"]), tone="other") for split in present]
    mixed = packed.get("instruction_rows", 0.0)
    note = f"Among them in train: {plural(mixed, 'row')} of conversation." if mixed else ""
    return bars_figure("Tokens as packed", bars, note)


def _made_of(found: Mapping[str, Any] | None, kind: str) -> Figure | None:
    """Characters kept by language, format or source, where there is more than one."""
    groups = dict(found[kind]) if found else {}
    if len(groups) < 2:
        return None
    ordered = sorted(groups.items(), key=lambda item: (-item[1]["characters"], item[0]))
    bars = [Bar(name, entry["characters"], count(entry["characters"]), plural(entry["documents"], "document")) for name, entry in ordered]
    rest = f"And {len(bars) - MOST_GROUPS} more." if len(bars) > MOST_GROUPS else ""
    return bars_figure(f"Characters kept, by {kind.removesuffix('s')}", bars[:MOST_GROUPS], rest)


def rules_section(account: Account) -> Section | None:
    """The rules of each step by how many characters they touched, what some of them took, and what was put aside."""
    found = account.evidence.json("audit", "funnel.json")
    figures = tuple(_rules(stage) for stage in found["stages"] if stage["rules"]) if found else ()
    if not found or not figures:
        return None
    lead = (
        "Characters that each rule removed or cut out (blue), called duplicates or put aside (copper), or changed in place (grey), "
        "and in how many places. All of it is kept: folio corpus removed RULE opens what a rule took, folio corpus show DOC what became "
        "of a document."
    )
    return Section("rules", "What each rule did", lead, figures, tables=tuple(example_tables(account.evidence, found)))


def _rules(stage: Mapping[str, Any]) -> Figure:
    entries = [(action, rule, entry) for action, rules in stage["rules"].items() for rule, entry in rules.items()]
    entries.sort(key=lambda found: (-(found[2]["characters"] or 0), found[1]))
    bars = []
    for action, rule, entry in entries:
        where = plural(entry["documents"], "document") if action in GONE else plural(entry["pieces"] or 0, "place")
        characters = entry["characters"] or 0
        bars.append(Bar(words(rule), characters, count(characters), where, ACTIONS.get(action, "quiet")))
    return bars_figure(STEPS.get(stage["stage"], stage["stage"]).capitalize(), bars)
