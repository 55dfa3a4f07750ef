"""A gate's verdicts as a table, in plain text for a terminal or log and in Markdown for a report."""

from __future__ import annotations

from collections.abc import Sequence

from model.evaluation.gate import Verdict

HEADER = ("metric", "value", "bound", "margin", "verdict")


def rows(verdicts: Sequence[Verdict]) -> list[tuple[str, str, str, str, str]]:
    """Return the cells, one row for each verdict; the value of a ratio is the ratio."""
    return [
        (
            verdict.metric,
            "-" if verdict.value is None else f"{verdict.value:.4g}",
            verdict.asked,
            "-" if verdict.margin is None else f"{verdict.margin:+.4g}",
            "passed" if verdict.passed else f"FAILED: {verdict.reason}",
        )
        for verdict in verdicts
    ]


def as_text(verdicts: Sequence[Verdict]) -> str:
    """Return aligned columns with a rule below the header, without a final newline."""
    table = [HEADER, *rows(verdicts)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def as_markdown(verdicts: Sequence[Verdict]) -> str:
    """Return a Markdown table; bars in cells are escaped."""
    table = [HEADER, ("---",) * len(HEADER), *rows(verdicts)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table)
