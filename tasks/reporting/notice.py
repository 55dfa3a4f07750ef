"""The report in a few lines of Markdown, for Prefect's page of a run: gates, key figures, and where the whole page lies."""

from __future__ import annotations

from pathlib import Path

from model.release.card import escape_markdown
from tasks.reporting.account import Account
from tasks.reporting.gates import WORDS, gates_of
from tasks.reporting.headline import headline


def notice(account: Account, page: Path) -> str:
    """Markdown whose every text from outside is escaped."""
    head, gates = headline(account), gates_of(account.evidence)
    lines = [f"**{escape_markdown(head.name)}: {head.verdict}.** {escape_markdown(head.outcome)}", ""]
    if gates:
        lines += ["| gate | verdict | bounds that failed |", "| --- | --- | --- |"]
        for gate in gates:
            failed = "; ".join(escape_markdown(f"{row[0]} {row[1]}, asked {row[2]}") for row in gate.rows if row[-1] != "passed")
            lines.append(f"| {escape_markdown(gate.name)} | {WORDS[gate.state]} | {failed} |")
        lines.append("")
    for figure in head.figures:
        remark = f", {escape_markdown(figure.remark)}" if figure.remark else ""
        lines.append(f"* {figure.label}: **{escape_markdown(figure.value)}**{remark}")
    return "\n".join([*lines, "", f"The whole page: `{str(page).replace('`', '')}`, and with this run in MLflow."])
