"""The top of the page: what the run is, whether it passed, and the figures that a person asks for first."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from model.evaluation.metrics import HEADLINE
from model.release.card import escape_markdown
from tasks.lineage.graph import ProvenanceGraph, sinks
from tasks.lineage.tree import render_tree
from tasks.reporting.evaluation import best_first, model_name
from tasks.reporting.gates import WORDS, Gate, gates_of, outcome, worst
from tasks.reporting.hook import report_hook
from tasks.reporting.lineage_drawing import as_file, draw_run, maker
from tasks.reporting.sizes import parameters_of, signed, variant_cost
from tasks.reporting.stages import spent
from tasks.reporting.standing import standing_of
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, joined, model_form, number, plural, rough, seconds, share
from tasks.stage.store.artifact import Artifact
from tasks.stage.tracking.cost import total_cost

VERDICTS = {"passed": "passed", "overruled": "overruled", "failed": "failed", "unjudged": "not judged", "stopped": "stopped"}


@dataclass(frozen=True)
class KeyFigure:
    """A number with its name and a remark."""

    label: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class Headline:
    """The top of the page.

    `state`: passed, overruled, failed, stopped or unjudged; `failure`: the error that ended the run; `words`: how good the model is.
    """

    name: str
    description: str
    when: str
    state: str
    verdict: str
    outcome: str
    failure: str
    reasons: tuple[str, ...]
    figures: tuple[KeyFigure, ...]
    words: tuple[str, ...] = ()


def headline(run: RunSummary) -> Headline:
    """Return the headline of a run. An unfinished run reads as failed even if its gates passed."""
    gates = gates_of(run.results)
    unfinished = run.unfinished
    state = "stopped" if run.stopped else "failed" if unfinished or run.failure else worst(gates)
    stopped = f" The run did not finish: {joined(unfinished)} {'has' if len(unfinished) == 1 else 'have'} no result." if unfinished else ""
    exported = run.results.artifacts.get("export")
    standing = standing_of(run.results.artifacts, run.results.folder, run.previous)
    card = exported.config.get("card", {}) if exported else {}
    return Headline(
        name=run.name,
        description=str(card.get("summary", "")),
        when=f"{run.ended:%-d %B %Y, %H:%M} UTC",
        state=state,
        verdict=VERDICTS[state],
        outcome=outcome(gates) + stopped,
        failure=run.failure if worst(gates) != "failed" else "",  # the table of a failed gate says the same
        reasons=tuple(_reasons(gates)),
        figures=tuple(key_figures(run)),
        words=(*standing.sentences(), *standing.since()),
    )


def _reasons(gates: list[Gate]) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for gate in gates:
        if gate.reason:
            by_reason.setdefault(gate.reason, []).append(gate.name)
    return [f"Overruled at {joined(names)}: {reason}" for reason, names in by_reason.items()]


def key_figures(run: RunSummary) -> list[KeyFigure]:
    """Return the figures that the run has, in the order in which they were made."""
    results = run.results
    figures = [_books(results), _tokens(results), _parameters(results), _questions(results), _quality(results)]
    figures += [_variant(results, name) for name in results.variants()]
    whole = total_cost(results.artifacts.values())
    work = f"made in {seconds(whole.wall_seconds)} of work, {seconds(whole.cpu_seconds)} of CPU"
    took = KeyFigure("this run took", seconds(run.seconds), f"all of it {work}")
    time = KeyFigure("this run", "reused", work) if run.all_reused else took
    return [*(figure for figure in figures if figure is not None), time]


def headline_metrics(results: Results) -> dict[str, float]:
    """Return the key metrics by which runs are compared, by position and name; only those that the run has."""
    wanted = (("ingest", "documents"), ("audit", "documents_kept"), ("pack", "train_tokens"))
    found = {f"{position}.{name}": results.metrics(position)[name] for position, name in wanted if name in results.metrics(position)}
    if (parameters := parameters_of(results)) is not None:
        found["parameters"] = parameters
    for position in results.positions("evaluate"):
        metrics = results.metrics(position)
        found |= {f"{position}.{name}": metrics[name] for name in HEADLINE if name in metrics}
    for position, artifact in results.artifacts.items():
        own = report_hook(artifact.stage).headline
        found |= {f"{position}.{name}": artifact.metrics[name] for name in own if name in artifact.metrics}
    found |= {f"{position}.passed": results.metrics(position)["passed"] for position in results.positions("gate")}
    return found


def _books(results: Results) -> KeyFigure | None:
    audit, ingest = results.metrics("audit"), results.metrics("ingest")
    if "documents_in" in audit:
        return KeyFigure("books in", count(audit["documents_in"]), f"{count(audit['documents_kept'])} stayed")
    return KeyFigure("books in", count(ingest["documents"])) if "documents" in ingest else None


def _tokens(results: Results) -> KeyFigure | None:
    packed, fitted = results.metrics("pack"), results.metrics("tokenizer")
    if "train_tokens" not in packed:
        return None
    return KeyFigure("training tokens", rough(packed["train_tokens"]), f"vocabulary of {count(fitted['vocab_size'])}" if fitted else "")


def _parameters(results: Results) -> KeyFigure | None:
    parameters = parameters_of(results)
    return None if parameters is None else KeyFigure("parameters", rough(parameters))


def _questions(results: Results) -> KeyFigure | None:
    for position in best_first(results):
        metrics = results.metrics(position)
        if "questions.heldout" in metrics:
            seen = f"; seen ones {share(metrics['questions.seen'])}" if "questions.seen" in metrics else ""
            asked = f" of {count(metrics['questions.heldout_count'])}" if "questions.heldout_count" in metrics else ""
            later = f"; after others {share(metrics['questions.heldout_later'])}" if "questions.heldout_later" in metrics else ""
            return KeyFigure("held-out questions", share(metrics["questions.heldout"]), f"right{asked}{later}{seen}")
    return None


def _quality(results: Results) -> KeyFigure | None:
    """Return how well the released model does on the least seen split: bits per byte, or the hidden tokens that it finds."""
    for position in best_first(results):
        metrics = results.metrics(position)
        for split in ("test", "val", "train"):
            bits, kind = metrics.get(f"{split}.bits_per_byte"), "span" if f"{split}.span_accuracy" in metrics else "masked"
            found = metrics.get(f"{split}.{kind}_accuracy")
            model = f"{model_name(position)} model on {told_split(results, split)}"
            if bits is not None:
                return KeyFigure("bits per byte", number(bits), model)
            if found is not None:
                remark = f"{model}; {kind} loss {number(metrics[f'{split}.{kind}_loss'])}"
                return KeyFigure("hidden tokens found", share(found), remark)
    return None


def told_split(results: Results, split: str) -> str:
    """Return the name of a split; of one that train holds as well, that and how much of it."""
    if not (shared := results.metrics("baseline").get(f"{split}.documents_in_train", 0.0)):
        return split
    # Every run of words of the split's documents is in train.
    whole = results.metrics("audit").get(f"leak_{split}", 0.0) >= 1.0
    copied = "a copy of train" if whole else f"of which train holds {plural(shared, 'document')}"
    return f"{split}, {copied}, so not on unseen text"


def _variant(results: Results, name: str) -> KeyFigure | None:
    cost, ratio = variant_cost(results, name), results.metrics(f"quantize.{name}").get("size_ratio")
    if cost is None:
        return None
    remark = f"{cost.measure}, at {share(ratio)} of the size" if ratio else cost.measure
    return KeyFigure(f"{model_form(name)} costs", signed(cost.change), remark)


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
