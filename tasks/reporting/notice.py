"""A run in Markdown for Prefect's pages: gates, key figures and where the whole page lies; and its lineage, drawn and as a tree."""

from __future__ import annotations

import base64
from pathlib import Path

from model.release.card import escape_markdown
from tasks.lineage.graph import ProvenanceGraph, sinks
from tasks.lineage.tree import render_tree
from tasks.reporting.account import Account
from tasks.reporting.gates import WORDS, gates_of
from tasks.reporting.headline import headline
from tasks.reporting.lineage_drawing import draw_run, maker, standing_alone
from tasks.reporting.stages import spent
from tasks.stage.store.artifact import Artifact
from tasks.stage.tracking.cost import total_cost


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


def lineage_notice(account: Account) -> str:
    """Markdown with the drawing, as an image that loads nothing, and the tree of all that the run's results were made from."""
    artifacts = account.evidence.artifacts
    drawn = base64.b64encode(standing_alone(draw_run(artifacts, account.reused)).encode()).decode()
    # What an early cut-off left with the name of another execution is shown where this run had the same bytes.
    held = [artifact.model_copy(update={"inputs": _here(artifact, account)}) for artifact in artifacts.values()]
    lines = render_tree(ProvenanceGraph({artifact.key: artifact for artifact in held}), sinks(held))
    whole = spent(total_cost(artifacts.values()), account.rates)
    image = f"![lineage of {len(artifacts)} artifacts](data:image/svg+xml;base64,{drawn})"
    return "\n".join([image, "", f"All of it took {whole}. `folio lineage` tells more.", "", "```", *lines, "```"])


def _here(artifact: Artifact, account: Account) -> dict[str, object]:
    artifacts = account.evidence.artifacts
    places = {name: maker(given, artifacts) for name, given in artifact.inputs.items()}
    return {
        name: given if place is None else given.model_copy(update={"key": artifacts[place].key})
        for (name, given), place in zip(artifact.inputs.items(), places.values(), strict=True)
    }
