"""Cleaning and deduplication against the truth, where the corpus was generated and every injected fault is known."""

from __future__ import annotations

from tasks.reporting.account import Account
from tasks.reporting.charts import Bar
from tasks.reporting.parts import Section, bars_figure
from tasks.reporting.wording import joined, share, words

SCORES = {
    "clean_precision": ("cleaning, precision", "strong"),
    "clean_recall": ("cleaning, recall", "strong"),
    "document_dedup_precision": ("duplicate books, precision", "other"),
    "document_dedup_recall": ("duplicate books, recall", "other"),
    "page_dedup_recall": ("duplicate pages, recall", "other"),
    "paragraphs_intact": ("paragraphs as written", "quiet"),
}
HARM = {"false_edit_share": "changed by cleaning", "dedup_false_share": "lost in deduplication"}
KIND = "clean_recall_"


def truth_section(account: Account) -> Section | None:
    """Precision and recall, and recall of each kind of fault; None for a corpus whose truth nobody knows."""
    metrics = account.evidence.metrics("audit")
    scores = [Bar(label, metrics[name], share(metrics[name]), tone=tone) for name, (label, tone) in SCORES.items() if name in metrics]
    if not scores:
        return None
    kinds = {name.removeprefix(KIND): value for name, value in metrics.items() if name.startswith(KIND) and name != f"{KIND}mean"}
    bars = [Bar(words(kind), value, share(value)) for kind, value in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))]
    lead = (
        "Every fault in this corpus was put there on purpose, so cleaning can be marked: recall is the share of faults that were "
        "mended, precision the share of changes that were right."
    )
    harm = [f"{share(metrics[name])} was {text}" for name, text in HARM.items() if name in metrics]
    if harm:
        lead += f" Of what was right before, {joined(harm)}."
    figures = [bars_figure("Precision and recall", scores, most=1.0)]
    figures += [bars_figure("Faults mended, by kind", bars, most=1.0)] if bars else []
    return Section("truth", "Against the truth", lead, tuple(figures))
