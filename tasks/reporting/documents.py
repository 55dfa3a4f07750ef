"""Answers from documents: four ways of asking side by side, and which of them the measurements recommend.

A way is recommended only above another one if the whole interval of their difference, question by question, is. Where tuning is not certain
to beat the untouched model with the same passages, retrieval alone is recommended: it costs nothing to train, and forgets nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from tasks.reporting.charts import Share
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table, shares_figure
from tasks.reporting.summary import RunSummary
from tasks.reporting.wording import count, share

WAYS = {
    "untouched.closed": "untouched, alone",
    "untouched.documents": "untouched, with documents",
    "closed": "tuned, alone",
    "documents": "tuned, with documents",
}
BESIDE = {
    "recall_at_5": "its passage is among the first five that are found",
    "cited": "answers with documents that cite a passage",
    "citations_right": "citations of the known passage, which has their words",
    "declined": "declined where no passage shown answers it",
    "declined_wrongly": "declined although its passage was shown",
}


def documents_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build the shares answered right in each way with their intervals, the verdict in words, and what else was measured."""
    measured = [run.results.metrics(position) for position in positions if position == "consult"]
    if not measured or not measured[0].get("questions"):
        return None
    (found,) = measured
    shares = [
        Share(title, found[name], found[f"{name}_low"], found[f"{name}_high"], _interval(found, name)) for name, title in _ways(found)
    ]
    rows = tuple(Row((title, _interval(found, name))) for name, title in BESIDE.items() if name in found)
    note = f"Of {count(found['questions'])} held-out questions; on average {found['shown']:.1f} passages were shown."
    return Section(
        "documents",
        "Answers from documents",
        documents_verdict(found),
        (shares_figure("Answered right", shares, note),),
        tables=(Table("Beside that", ("share", "measured"), rows),) if rows else (),
    )


DOCUMENTS = Topic("documents", 46, documents_section)


def documents_verdict(found: Mapping[str, float]) -> str:
    """Return in words which way of asking the measurements recommend, and why; `found`: what `consult` measured."""
    if not found.get("questions"):
        return "No question was held out, so nothing is known of answers from documents."
    told = "; ".join(f"{title} {_interval(found, name)}" for name, title in _ways(found))
    said = f"Of {count(found['questions'])} held-out questions answered right: {told}. "
    if "gain_low" not in found:
        return said + "They are too few to tell which way is better: hold out more."
    if "tuning.documents" not in found:
        return said + _beside(found, "gain", "With documents", "documents", "without them", "answers without documents")
    before = "the untouched model with the same documents"
    alone = "retrieval alone, the untouched model with documents"
    return said + _beside(found, "tuning.documents", "Tuned and with documents", "the tuned model with documents", before, alone)


def _beside(found: Mapping[str, float], name: str, subject: str, one: str, other: str, instead: str) -> str:
    value, low, high = (found[f"{name}{end}"] for end in ("", "_low", "_high"))
    apart = f"{abs(value):.0%} of the questions ({low:+.0%} to {high:+.0%})"
    if low > 0:
        return f"{subject} it is right more often than {other}, by {apart}: use {one}."
    if high < 0:
        return f"{subject} it is right less often than {other}, by {apart}: use {instead}."
    return f"{subject} it is not known to be right more often than {other} ({value:+.0%}, {low:+.0%} to {high:+.0%}): use {instead}."


def _ways(found: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the ways that were measured; what is called tuned is the only model where no untouched one was asked."""
    ways = [(name, title) for name, title in WAYS.items() if name in found]
    return ways if "untouched.closed" in found else [(name, title.replace("tuned, ", "")) for name, title in ways]


def _interval(found: Mapping[str, float], name: str) -> str:
    return f"{share(found[name])} ({share(found[f'{name}_low'])} to {share(found[f'{name}_high'])})"
