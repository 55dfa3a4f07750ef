"""Sections on cleaning: each rule with examples; and its accuracy where every fault of the corpus, or what is personal data, is known.

Costs reading the start of one file per rule, and one row per document named.

How much of validation and test also occurs in train, word for word, and where.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

from data.provenance.edits import removed_file
from data.provenance.tables import all_rows, first_rows, rows_of
from tasks.reporting.charts import Bar
from tasks.reporting.corpus import REMOVALS
from tasks.reporting.hook import Topic, title_of
from tasks.reporting.parts import Figure, Row, Section, Table, bars_figure
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, joined, plural, share, words
from tasks.stage.store.artifact import without_shard

TONES = {"removed": "strong", "cut": "strong", "duplicate": "other", "quarantined": "other"}
EXAMPLES, ROWS_READ, EXCERPT, TITLES = 12, 32, 180, 8
SCORES = {
    "clean_precision": ("cleaning, precision", "strong"),
    "clean_recall": ("cleaning, recall", "strong"),
    "document_dedup_precision": ("duplicate books, precision", "other"),
    "document_dedup_recall": ("duplicate books, recall", "other"),
    "page_dedup_recall": ("duplicate pages, recall", "other"),
    "paragraphs_intact": ("intact paragraphs", "quiet"),
}
HARM = {"false_edit_share": "changed by cleaning", "dedup_false_share": "lost in deduplication"}
KIND = "clean_recall_"
PERSONAL_DATA = "personal_data.json"


def rules_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the bars of each step's rules by how many characters they touched, and examples of what they removed."""
    funnel = run.results.json("audit", "funnel.json")
    figures = tuple(_rules(stage) for stage in funnel["stages"] if any(stage["rules"].values())) if funnel else ()
    if not funnel or not figures:
        return None
    lead = (
        "Characters that each rule removed (blue), found to be duplicates or quarantined (copper), or changed in place (grey), and in how "
        "many places. Nothing is lost: `folio corpus removed RULE` shows what a rule removed, `folio corpus show DOC` what happened to a "
        "document."
    )
    return Section("rules", "What each rule did", lead, figures, tables=tuple(_tables(run.results, funnel)))


def scores_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build precision and recall, and the recall of each kind of fault; None if nobody knows the faults of the corpus."""
    metrics = run.results.metrics("audit")
    scores = [Bar(label, metrics[name], share(metrics[name]), tone=tone) for name, (label, tone) in SCORES.items() if name in metrics]
    if not scores:
        return None
    kinds = {name.removeprefix(KIND): value for name, value in metrics.items() if name.startswith(KIND) and name != f"{KIND}mean"}
    bars = [Bar(words(kind), value, share(value)) for kind, value in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))]
    lead = (
        "Every fault in this corpus was put there on purpose, so cleaning can be marked: recall is the share of the faults that were "
        "mended, precision the share of the changes that were right."
    )
    harm = [f"{share(metrics[name])} was {text}" for name, text in HARM.items() if name in metrics]
    if harm:
        lead += f" Of the text that was right before, {joined(harm)}."
    figures = [bars_figure("Precision and recall", scores, most=1.0)]
    figures += [bars_figure("Faults mended, by kind", bars, most=1.0)] if bars else []
    return Section("truth", "How well it was cleaned", lead, tuple(figures))


def personal_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the matrix, which the first shard wrote; None if the recipe looks for no personal data."""
    known = (position for position in positions if any(file.path == PERSONAL_DATA for file in run.results.artifacts[position].files))
    position = next(known, None)
    if position is None:
        return None
    matrix: dict[str, dict[str, int]] = run.results.json(position, PERSONAL_DATA)
    columns = list(next(iter(matrix.values())))
    rows = tuple(
        Row((kind, *(count(row[found]) if row[found] else "" for found in columns), share(row[kind] / max(1, sum(row.values())))))
        for kind, row in matrix.items()
    )
    lead = (
        "Redaction was tried on made-up sentences in which it is known what is personal. A row is what stands in a sentence, a column what "
        "was found there; nothing stands in sentences with years, versions, prices and other numbers that are nobody's. A password without "
        "a shape of its own can't be found, and a telephone number without + only in the recipe's regions."
    )
    if "name" in matrix:
        lead += " The people are called by invented names, and a model may know real ones better."
    table = Table(
        "Sentences, by what stands there and what was found",
        ("what stands there", *columns, "right"),
        rows,
        right=frozenset(range(1, len(columns) + 2)),
    )
    return Section("personal", "How well personal data was found", lead, tables=(table,))


RULES = Topic("cleaning rules", 60, rules_section)
PERSONAL = Topic("personal data", 62, personal_section)
SCORED = Topic("scores of the cleaning", 100, scores_section)


def _rules(stage: Mapping[str, Any]) -> Figure:
    entries = [(action, rule, entry) for action, rules in stage["rules"].items() for rule, entry in rules.items()]
    entries.sort(key=lambda one: (-(one[2]["characters"] or 0), one[1]))
    bars = []
    for action, rule, entry in entries:
        where = plural(entry["documents"], "document") if action in REMOVALS else plural(entry["pieces"] or 0, "place")
        characters = entry["characters"] or 0
        bars.append(Bar(words(rule), characters, count(characters), where, TONES.get(action, "quiet")))
    return bars_figure(title_of(stage["stage"]).capitalize(), bars)


def _tables(results: Results, funnel: Mapping[str, Any]) -> Iterator[Table]:
    removed = sorted(
        ((entry["characters"], stage["stage"], rule) for stage in funnel["stages"] for action, rules in stage["rules"].items()
         if action != "changed" for rule, entry in rules.items()),
        key=lambda one: (-one[0], one[1:]),
    )  # fmt: skip
    rows = [row for _, stage, rule in removed if (row := _example(results, stage, rule))][:EXAMPLES]
    if rows:
        yield Table("What the rules removed, one example each", ("stage", "rule", "from", "text"), tuple(rows), widths=(13, 15, 20, 52))
    reasons = [Row((why, count(entry["files"]), ", ".join(entry["shown"][:3]))) for why, entry in funnel["quarantined"].items()]
    if reasons:
        yield Table("Quarantined files", ("reason", "files", "for example"), tuple(reasons), right=frozenset({1}), widths=(30, 10, 60))
    unread = [
        Row((kind, source, count(entry["entries"]), ", ".join(entry["shown"][:3])))
        for source, fates in (results.json("census", "census.json") or {}).items()
        for kind, entry in fates.get("not asked for", {}).items()
    ]
    if unread:
        head = ("kind", "source", "entries", "for example")
        yield Table("Entries of the sources that were not read", head, tuple(unread), right=frozenset({2}), widths=(25, 15, 10, 50))
    wrong = funnel["title_mismatches"]
    titles = [Row((f"{row['source']}/{row['path']}", row["title"])) for row in wrong["shown"][:TITLES]]
    if titles:
        more = f"{count(wrong['documents'])} in all; `folio corpus stats --json` lists them." if wrong["documents"] > len(titles) else ""
        yield Table("Files whose text has another title than their name", ("file", "title"), tuple(titles), note=more, widths=(50, 50))


def _example(results: Results, stage: str, rule: str) -> Row | None:
    """Return the first text with words in it that a rule removed; None if no shard kept one."""
    file = removed_file(rule)
    for position, artifact in results.artifacts.items():
        if without_shard(position) != stage or not any(known.path == file for known in artifact.files):
            continue
        for found in results.rows(position, file, _first_with_words):
            text = " ".join(found["text"].split())
            shown = f"{text[:EXCERPT]}…" if len(text) > EXCERPT else text
            return Row((stage, words(rule), _path(results, found["id"]), shown))
    return None


def _path(results: Results, identity: str) -> str:
    """Return the path of a document in its source, or its id if no record has it."""
    for position in results.artifacts:
        if without_shard(position) == "ingest":
            for row in results.rows(position, "documents.parquet", _row_of, identity):
                return str(json.loads(row["metadata"]).get("path", identity))
    return identity


def _first_with_words(removed: IO[bytes]) -> list[dict[str, Any]]:
    """Return the first row that has words, if it is among the first of the table."""
    return [row for row in first_rows(removed, ROWS_READ) if row["text"].strip()][:1]


def _row_of(documents: IO[bytes], identity: str) -> list[dict[str, Any]]:
    """Return the row of a document, if the table has it."""
    return list(rows_of(documents, identity, ("id", "metadata")))[:1]


NAMES = {"train": "train", "val": "validation", "test": "test"}
AGAINST = {"leak_val": ("validation", "train"), "leak_test": ("test", "train"), "leak_test_val": ("test", "validation")}
SHOWN = 10
ITEMS, HIT, SHORT = "items_", "items_hit_", "items_short_"


def held_out_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build what leaks between the splits, by document and passage, and what was removed for the evaluation sets."""
    results = run.results
    leaks, removed = results.metrics("audit"), {**results.metrics("contamination"), **results.metrics("decontaminate")}
    if not any(f"{name}_worst" in leaks for name in AGAINST):
        return None
    tables = [_documents(results), _passages(results), _evaluations(removed)]
    return Section("held-out", "What was held out", _lead(results, leaks, removed), tables=tuple(table for table in tables if table))


HELD_OUT = Topic("held-out text", 80, held_out_section)


def _lead(results: Results, leaks: Mapping[str, float], removed: Mapping[str, float]) -> str:
    length = results.artifacts["audit"].config.get("words", 13)
    found = [f"{share(leaks[name])} of {part} in {other}" for name, (part, other) in AGAINST.items() if name in leaks]
    sentences = [f"Runs of {length} words that also occur elsewhere: {joined(found)}."]
    split = {**results.metrics("assign"), **results.metrics("split")}
    if split.get("shared"):
        sentences.append("This recipe trains on all of its documents, so validation and test are copies of train.")
    if split.get("synthetic_documents"):
        wrote = plural(split["synthetic_documents"], "document")
        sentences.append(f"A machine wrote {wrote} of train, {share(split['synthetic_share'])} of its characters.")
    if removed:
        passages = f"{plural(removed['passages'], 'passage')} in {plural(removed['documents_contaminated'], 'document')}"
        characters = plural(removed["characters_removed"], "character")
        sentences.append(f"To keep evaluation sets unseen, {passages} were removed from the corpus, {characters} in all.")
    return " ".join(sentences)


def _documents(results: Results) -> Table | None:
    worst = results.rows("audit", "leaked_documents.parquet", first_rows, SHOWN)
    rows = [
        Row(
            (NAMES[row["split"]], row["title"], row["source"], share(row["in_train"] / row["ngrams"]), share(row["in_val"] / row["ngrams"]))
        )
        for row in worst
    ]
    header = ("held out", "document", "source", "in train", "in validation")
    note = "Shares of a document's runs of words that also occur in train or in validation, largest first."
    return Table("Documents that leak", header, tuple(rows), right=frozenset({3, 4}), note=note) if rows else None


def _passages(results: Results) -> Table | None:
    found = results.rows("audit", "leaks.parquet", _longest)
    rows = [
        Row((NAMES[row["split"]], count(row["words"]), row["title"], row["text"], f"{row['other_title']} ({_where(row)})")) for row in found
    ]
    header = ("held out", "words", "document", "passage", "also in")
    return Table("The longest passages", header, tuple(rows), right=frozenset({1}), widths=(10, 8, 18, 44, 20)) if rows else None


def _longest(leaks: IO[bytes]) -> list[dict[str, Any]]:
    return sorted(all_rows(leaks), key=lambda row: (-row["words"], row["split"], row["id"], row["first_word"]))[:SHOWN]


def _where(row: Mapping[str, Any]) -> str:
    return "train" if row["train_id"] else "validation"


def _evaluations(removed: Mapping[str, float]) -> Table | None:
    names = [name.removeprefix(HIT) for name in removed if name.startswith(HIT)]
    rows = [
        Row((name, count(removed[f"{ITEMS}{name}"]), count(removed[f"{HIT}{name}"]), count(removed[f"{SHORT}{name}"])))
        for name in sorted(names)
    ]
    header = ("evaluation set", "items", "found in the corpus", "too short to search for")
    return Table("Evaluation sets", header, tuple(rows), right=frozenset({1, 2, 3})) if rows else None
