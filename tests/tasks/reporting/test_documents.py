"""The report shows four ways of asking side by side, with their intervals and what they recommend."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from tasks.reporting.documents import documents_section
from tasks.reporting.summary import RunSummary

MEASURED = {
    name: value + more
    for name, value in {
        **{"untouched.closed": 0.1, "untouched.documents": 0.5, "closed": 0.3, "documents": 0.8, "tuning.documents": 0.3, "gain": 0.5},
        **{"recall_at_5": 1.0, "cited": 0.6, "citations_right": 0.4},
    }.items()
    for name, more in ((name, 0.0), (f"{name}_low", -0.1), (f"{name}_high", 0.1))
} | {"questions": 28.0, "shown": 2.0}


def run_with(metrics: dict[str, float]) -> RunSummary:
    results: Any = SimpleNamespace(metrics=lambda position: metrics)
    return cast(RunSummary, SimpleNamespace(results=results))


def test_four_ways_are_drawn_at_every_width_and_told_with_intervals() -> None:
    section = documents_section(run_with(MEASURED), {"consult.untouched": "before", "consult": "after"})
    assert section is not None and section.lead.endswith("use the tuned model with documents.")
    (figure,) = section.figures
    assert "untouched, with documents" in str(figure)
    told = {row.cells[0]: row.cells[1] for row in section.tables[0].rows}
    assert told["right: tuned, with documents"] == "80 % (70 % to 90 %)" and "answers with documents that cite a passage" in told


def test_a_run_that_asks_no_documents_has_no_section() -> None:
    assert documents_section(run_with({"questions": 0.0}), {"consult": "after"}) is None
    assert documents_section(run_with(MEASURED), {"consult.untouched": "before"}) is None
