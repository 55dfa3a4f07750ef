"""A run in Markdown for Prefect: gates, key figures and where the whole page is; and its lineage, as a drawing and as a tree."""

from __future__ import annotations

import base64
from pathlib import Path

from model.release.card import escape_markdown
from tasks.lineage.graph import ProvenanceGraph, sinks
from tasks.lineage.tree import render_tree
from tasks.reporting.gates import WORDS, gates_of
from tasks.reporting.headline import headline
from tasks.reporting.lineage_drawing import as_file, draw_run, maker
from tasks.reporting.stages import spent
from tasks.reporting.summary import RunSummary
from tasks.stage.store.artifact import Artifact
from tasks.stage.tracking.cost import total_cost


def notice(run: RunSummary, page: Path) -> str:
    """Return the notice. Every text from outside is escaped."""
    head, gates = headline(run), gates_of(run.results)
    lines = [f"**{escape_markdown(head.name)}: {head.verdict}.** {escape_markdown(head.outcome)}", ""]
    lines += [escape_markdown(head.failure), ""] if head.failure else []
    if gates:
        lines += ["| gate | verdict | failed bounds |", "| --- | --- | --- |"]
        for gate in gates:
            failed = "; ".join(escape_markdown(f"{row[0]} is {row[1]}, not {row[2]}") for row in gate.rows if row[-1] != "passed")
            lines.append(f"| {escape_markdown(gate.name)} | {WORDS[gate.state]} | {failed} |")
        lines.append("")
    for figure in head.figures:
        remark = f", {escape_markdown(figure.remark)}" if figure.remark else ""
        lines.append(f"* {figure.label}: **{escape_markdown(figure.value)}**{remark}")
    return "\n".join([*lines, "", f"The whole page is at `{str(page).replace('`', '')}`, and with this run in MLflow."])


def lineage_notice(run: RunSummary) -> str:
    """Return the drawing, as an image that loads nothing, and the tree of everything that the run's results were made from."""
    artifacts = run.results.artifacts
    drawn = base64.b64encode(as_file(draw_run(artifacts, run.reused)).encode()).decode()
    # An input may name another execution that made the same bytes; the tree shows it at its position in this run.
    moved = [artifact.model_copy(update={"inputs": _here(artifact, run)}) for artifact in artifacts.values()]
    lines = render_tree(ProvenanceGraph({artifact.address: artifact for artifact in moved}), sinks(moved))
    whole = spent(total_cost(artifacts.values()), run.rates)
    image = f"![lineage of {len(artifacts)} artifacts](data:image/svg+xml;base64,{drawn})"
    return "\n".join([image, "", f"Everything took {whole}. `folio lineage` shows more.", "", "```", *lines, "```"])


def _here(artifact: Artifact, run: RunSummary) -> dict[str, object]:
    """Return an artifact's inputs by the addresses that they have in this run."""
    artifacts = run.results.artifacts
    makers = {name: maker(reference, artifacts) for name, reference in artifact.inputs.items()}
    return {
        name: reference if position is None else reference.model_copy(update={"address": artifacts[position].address})
        for (name, reference), position in zip(artifact.inputs.items(), makers.values(), strict=True)
    }
