"""The corpus: how many documents, characters and tokens each step left, what was removed and why, and what the corpus is made of.

What became of the conversations that were read: how many each step left, and why the others went.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import IO, Any

from data.provenance.tables import quarantined
from data.splits.config import LARGE_CLUSTERS, LargeCluster
from tasks.reporting.charts import Bar, Level, funnel_chart
from tasks.reporting.hook import Topic, title_of
from tasks.reporting.page_cache import cached
from tasks.reporting.parts import Figure, Row, Section, Table, bars_figure, figure
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, joined, number, plural, share, words
from tasks.stage.store.artifact import without_shard

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
    large = results.json("assign", LARGE_CLUSTERS) if results.metrics("assign").get("large_clusters") else ()
    sentences += [f"{LargeCluster.model_validate(one).warning}." for one in large]
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


WHERE = "conversations"
READ = f"ingest.{WHERE}"
MOST_REASONS, LONGEST_REASON = 8, 160
ENCODED = {"sft": "conversations", "preference": "preference pairs", "labels": "labelled answers"}


def conversations_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the table of steps and that of records without a conversation; None for a run that read no conversations."""
    results = run.results
    read = results.metrics(READ)
    if not read:
        return None
    rows = [Row(("read", count(read["documents"]), _listed([(read["quarantined"], "quarantined")])))]
    unique, clean, parts = (results.metrics(f"{stage}.{WHERE}") for stage in ("dedup", "decontaminate", "split"))
    if unique:
        causes = _listed([(unique["documents_exact"], "equal to another"), (unique["documents_near"], "much like another")])
        rows.append(Row(("deduplicated", count(unique["documents_kept"]), causes)))
    if clean and unique:
        left = unique["documents_kept"] - clean["documents_dropped"]
        rows.append(Row(("held-out text left out", count(left), _listed([(clean["documents_dropped"], "with text that is held out")]))))
    if parts:
        rows.append(Row(("for training", count(parts["documents_train"]), f"{count(parts['documents_val'])} for validation")))
    rows += list(_encoded(results.metrics("encode")))
    lead = f"{plural(read['documents'], 'conversation')} came in, from {plural(_sources(read), 'source')}."
    tables = [Table("What each step left", ("step", "left", "went"), tuple(rows), frozenset({1}))]
    return Section("conversations", "Conversations", lead, tables=(*tables, *_refusal_reasons(results)))


CONVERSATIONS = Topic("conversations", 55, conversations_section)


def _encoded(metrics: Mapping[str, float]) -> Iterable[Row]:
    """Yield a row for each kind of rows for tuning; generated examples are among them."""
    causes = {"removed": "longer than a row", "shortened": "shortened to fit one", "quarantined": "that the template refused"}
    for kind, name in ENCODED.items():
        kept = metrics.get(f"{kind}_train_kept", 0.0)
        lost = [(metrics.get(f"{kind}_train_{what}", 0.0), words) for what, words in causes.items()]
        if kept or any(number for number, _ in lost):
            yield Row((f"encoded {name}", count(kept), _listed(lost)))


def _sources(read: Mapping[str, float]) -> int:
    return sum(name.startswith("documents.") for name in read)


def _listed(causes: Iterable[tuple[float, str]]) -> str:
    found = [f"{count(number)} {words}" for number, words in causes if number]
    return joined(found) if found else ""


def _counted(quarantine: IO[bytes]) -> list[dict[str, Any]]:
    """Return a row for each reason, in the order of the table: how many records it concerns, and which was the first."""
    rows: dict[str, dict[str, Any]] = {}
    for source, path, reason in quarantined(quarantine):
        rows.setdefault(reason, {"reason": reason, "records": 0, "first": f"{source}/{path}"})["records"] += 1
    return list(rows.values())


def _refusal_reasons(results: Results) -> Iterable[Table]:
    """Yield the table of records that hold no conversation, by reason, the most frequent first."""
    found: Counter[str] = Counter()
    first: dict[str, str] = {}
    for position in results.artifacts:
        if without_shard(position) == READ:
            for row in results.rows(position, "quarantine.parquet", _counted):
                found[row["reason"]] += row["records"]
                first.setdefault(row["reason"], row["first"])
    if found:
        ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
        rows = tuple(Row((reason[:LONGEST_REASON], count(number), first[reason])) for reason, number in ordered[:MOST_REASONS])
        more = len(ordered) - len(rows)
        note = f"And {plural(more, 'more reason')}; quarantine.parquet lists every record." if more else ""
        yield Table("Records without a conversation", ("why", "records", "the first"), rows, frozenset({1}), note=note)
