"""What became of the conversations that were read: how many each step left, and why the others went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import IO, Any

from data.provenance.tables import quarantined
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, joined, plural
from tasks.stage.store.artifact import without_shard

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
    return Section("conversations", "Conversations", lead, tables=(*tables, *_reasons(results)))


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


def _reasons(results: Results) -> Iterable[Table]:
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
