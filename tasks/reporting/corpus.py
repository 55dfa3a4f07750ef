"""The corpus: how many documents, characters and tokens came through each step, and how much each rule took or changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.reporting.account import Account
from tasks.reporting.charts import Bar
from tasks.reporting.evidence import Evidence
from tasks.reporting.parts import Figure, Section, bars_figure
from tasks.reporting.wording import count, joined, number, plural, share, words

STEPS = {"ingest": "read", "clean": "cleaned", "filter": "filtered", "dedup": "deduplicated"}
SPLITS = {"train": "train", "val": "validation", "test": "test"}
ACTIONS = {"removed": "strong", "duplicate": "other", "quarantined": "other"}


def funnel_section(account: Account) -> Section | None:
    """Documents and characters by step and split, tokens by split."""
    evidence = account.evidence
    found = evidence.json("audit", "funnel.json")
    figures = [_steps(found, what) for what in ("documents", "characters")] if found else []
    tokens = _tokens(evidence)
    if not figures and tokens is None:
        return None
    return Section("corpus", "What went in", _lead(evidence, found), tuple([*figures, *([tokens] if tokens else [])]))


def _lead(evidence: Evidence, found: Mapping[str, Any] | None) -> str:
    sentences = []
    if found and found["stages"]:
        gone = [f"{s['stage']} removed {count(s['documents_removed'])}" for s in found["stages"] if s["documents_removed"]]
        lost = f"; {joined(gone)}" if gone else ""
        came = plural(found["stages"][0]["documents_in"], "document")
        sentences.append(f"{came} came in, {count(found['documents_kept'])} stayed{lost}.")
        if not all(s["balanced"] for s in found["stages"]):
            sentences.append("The ledgers do not account for every document.")
    audit = evidence.metrics("audit")
    leaks = [f"{share(audit[f'leak_{split}'])} of {SPLITS[split]}" for split in ("val", "test") if f"leak_{split}" in audit]
    if leaks:
        length = evidence.artifacts["audit"].config.get("words", 13)
        sentences.append(f"Of all runs of {length} words, {joined(leaks)} stand in train too.")
    fitted = evidence.metrics("tokenizer")
    if fitted:
        kinds, each = plural(fitted["vocab_size"], "token"), number(fitted["bytes_per_token"])
        sentences.append(f"The vocabulary has {kinds}; one holds {each} bytes on average.")
    return " ".join(sentences)


def _steps(found: Mapping[str, Any], what: str) -> Figure:
    bars: list[Bar] = []
    before = found["stages"][0][f"{what}_in"] if found["stages"] else None
    if before is not None and before != found["stages"][0][what]:
        bars.append(Bar("found", before, count(before)))
    for stage in found["stages"]:
        after = stage[what]
        lost = "" if before is None or before == after else f"−{count(before - after)}" if after < before else f"+{count(after - before)}"
        bars.append(Bar(STEPS.get(stage["stage"], stage["stage"]), after, count(after), lost))
        before = after
    bars += [Bar(SPLITS.get(s["split"], s["split"]), s[what], count(s[what]), tone="other") for s in found["splits"]]
    shared = sum(s[what] for s in found["splits"]) > found[f"{what}_kept"]
    return bars_figure(what.capitalize(), bars, "The splits of this recipe share documents." if shared else "")


def _tokens(evidence: Evidence) -> Figure | None:
    packed = evidence.metrics("pack")
    present = [split for split in SPLITS if f"{split}_tokens" in packed]
    if not present:
        return None
    bars = [Bar(SPLITS[split], packed[f"{split}_tokens"], count(packed[f"{split}_tokens"]), tone="other") for split in present]
    mixed = packed.get("instruction_rows", 0.0)
    note = f"Among them in train: {plural(mixed, 'row')} of conversation." if mixed else ""
    return bars_figure("Tokens as packed", bars, note)


def rules_section(account: Account) -> Section | None:
    """The rules of each step by how many characters they touched."""
    found = account.evidence.json("audit", "funnel.json")
    figures = tuple(_rules(stage) for stage in found["stages"] if stage["rules"]) if found else ()
    if not figures:
        return None
    lead = (
        "Characters that each rule removed (blue), called duplicates or put aside (copper), or changed in place (grey), "
        "and in how many places."
    )
    return Section("rules", "What each rule did", lead, figures)


def _rules(stage: Mapping[str, Any]) -> Figure:
    entries = [(action, rule, entry) for action, rules in stage["rules"].items() for rule, entry in rules.items()]
    entries.sort(key=lambda found: (-(found[2]["characters"] or 0), found[1]))
    bars = []
    for action, rule, entry in entries:
        where = plural(entry["documents"], "document") if entry["documents"] else plural(entry["pieces"] or 0, "place")
        characters = entry["characters"] or 0
        bars.append(Bar(words(rule), characters, count(characters), where, ACTIONS.get(action, "quiet")))
    return bars_figure(STEPS.get(stage["stage"], stage["stage"]).capitalize(), bars)
