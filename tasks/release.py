"""The stages of the release chapter: quantized variants, each measured; an export; a version in MLflow's registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, Field

from data.provenance.tables import lines_naming, lines_quoting
from data.searching.passages import VECTORS_FILE
from model.evaluation.config import ConsultConfig
from model.evaluation.gate import FIDELITY, FidelityConfig
from model.evaluation.plain_words import Standing as ModelStanding
from model.evaluation.plain_words import passes_over
from model.inference.config import EmbedConfig
from model.names import NOT_IDENTITY
from model.networks.directory import read_config
from model.quantization.config import VariantConfig
from model.release.card import ModelCard, OriginFact, TrainingFact, corpus_facts, training_facts
from model.release.config import CardConfig, ExportConfig
from model.training.telemetry.step_log import validation_curve
from tasks.forecast.hook import CONSULTING
from tasks.gate import read_verdict
from tasks.lineage.hook import Holding, Inspection, LineageHook, derived_model
from tasks.reporting.documents import DOCUMENTS, documents_verdict
from tasks.reporting.hook import ReportHook
from tasks.reporting.sizes import SIZES, VARIANTS
from tasks.stage.execution.run import current_run
from tasks.stage.stage import Metrics, Workspace, stage
from tasks.stage.store.artifact import Artifact, StageOutput
from tasks.stage.store.journal import Journal, RegisteredModel
from tasks.stage.store.store import Store
from tasks.stage.system.progress import log


@stage(body="model.quantization.config:quantize", model=True, hooks=(LineageHook(derived_model), ReportHook(SIZES)))
def quantize(config: VariantConfig, model: Path, rows: Path | None = None, tokenizer: Path | None = None) -> Metrics:
    """A model directory, with packed rows if the kind calibrates and a tokenizer if it needs one -> a smaller model directory."""


def _inspect(inspection: Inspection) -> Holding:
    """It keeps no words: only what rows cost, each by its number."""
    packed = inspection.inputs_named("packed")
    measured = any(holding.parts for holding in packed)
    return inspection.holding(measured=measured, certain=all(holding.certain for holding in packed))


@stage(body="model.evaluation.fidelity:measure_fidelity", judges=True, hooks=(LineageHook(_inspect), ReportHook(VARIANTS)))
def measure(config: FidelityConfig, model: Path, variant: Path, packed: Path) -> Metrics:
    """A model, a quantized form of it, and rows of one split -> metrics.json, units.npz, verdict.json."""


STEP = "step."  # before the number and name of inputs that say what was measured after each step of tuning
ADAPTER = "adapter."  # before the names of inputs that are adapters of the model; a variant's name has no dot


class Exporting(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Everything that decides an export besides the model, and what its card says about training."""

    recipe: str = Field(description="name of the recipe")
    seed: int = Field(description="of initial weights and sample order")
    licences: dict[str, str] = Field(description="terms of use by source")
    export: ExportConfig
    card: CardConfig
    training: tuple[TrainingFact, ...] = Field(description="pretraining, if there was any, then each step of tuning")
    row_length: int = Field(0, json_schema_extra=NOT_IDENTITY, description="tokens of a training row; 0: the model's context")


@stage(model=True, hooks=(LineageHook(derived_model), ReportHook(SIZES)))
def export(
    config: Exporting,
    work: Workspace,
    model: Path,
    tokenizer: Path,
    measured: Path,
    measured_base: Path,
    baseline: Path,
    measured_rows: Path,
    baseline_rows: Path,
    verdict: Path,
    funnel: Path | None = None,
    conversations: Path | None = None,
    history: Path | None = None,
    origin: Path | None = None,
    **others: Path,
) -> Metrics:
    """A model, its variants and adapters, what was measured, tokenizer, step log, verdict, sources of its text -> a release directory."""
    from model.hardware.flops import training_flops
    from model.release.export import export as export_model

    network, vocabulary = read_config(model)
    rows_of = config.row_length or network.context
    found = json.loads(origin.read_text(encoding="utf-8")) if origin else None
    base, tuned, compared = (json.loads(path.read_text()) for path in (measured_base, measured, baseline))
    stepped = history is not None and not network.counted
    curve, read = (validation_curve(history), config.training[0].length.sequences(rows_of)) if history and stepped else ((), 0)
    # Numbered, since inputs keep their names and not their order.
    numbered = sorted((name.removeprefix(STEP), path) for name, path in others.items() if name.startswith(STEP))
    steps = [(name.partition(".")[2], json.loads(path.read_text())) for name, path in numbered]
    passes = passes_over(read, compared)
    told = ModelStanding(base, tuned, steps, compared, curve, passes, {}, (measured_rows, baseline_rows), counted=network.counted)
    card = ModelCard(
        **(config.card.under(found["name"], found["licence"]) if found else config.card).model_dump(),
        recipe=config.recipe,
        corpus=corpus_facts(funnel, conversations, config.licences),
        **told.card_facts(),
        training=training_facts(config.training, rows_of, config.seed, training_flops(network, vocabulary), pretrained=stepped),
        origin=OriginFact(**{name: found[name] for name in OriginFact.model_fields}) if found else None,
        metrics=tuned,
        gates=tuple((r["metric"], r["value"], r["bound"], r["margin"], r["verdict"]) for r in json.loads(verdict.read_text())["rows"]),
        lineage={name: f"sha256 {digest}" for name, digest in work.digests.items()},
    )
    adapters, fidelity = (
        {name.removeprefix(kind): folder for name, folder in others.items() if name.startswith(kind)} for kind in (ADAPTER, FIDELITY)
    )
    variants = {name: folder for name, folder in others.items() if not name.startswith((ADAPTER, FIDELITY, STEP))}
    return export_model(model, tokenizer, work.output, config.export, card, variants=variants, fidelity=fidelity, adapters=adapters)


CONSULTED = "consulted.jsonl"


class Consulting(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The evaluation of answers from documents, and how questions become vectors."""

    settings: ConsultConfig
    question_prefix: str = Field("", description="put before each question; text")


def _inspect_vectors(inspection: Inspection) -> Holding:
    """It has vectors of the document's passages, by a model that may have learned from it."""
    held = any(holding.parts for holding in inspection.inputs_named("passages"))
    learned = [known for known in inspection.inputs_named("model") if known.learned]
    certain = not learned or any(known.certain for known in learned)
    return inspection.holding({VECTORS_FILE} if held else (), learned=bool(learned), certain=certain)


@stage(hooks=(LineageHook(_inspect_vectors),))
def vectors(config: EmbedConfig, work: Workspace, passages: Path, model: Path, tokenizer: Path) -> Metrics:
    """The passages of a shard, a model and its tokenizer -> vectors.npy."""
    from model.inference.embed import embed_passages

    return embed_passages(model, tokenizer, passages, work.output / VECTORS_FILE, config, threads=work.threads)


def _inspect_consulted(inspection: Inspection) -> Holding:
    """Its answers were written from passages, and lines name the documents that they are asked about."""
    lines = inspection.read(CONSULTED, lambda stream, _: lines_quoting(stream, inspection.text()))
    lines += inspection.read(CONSULTED, lines_naming)[0]
    measured = any(holding.parts for holding in inspection.inputs_named("index"))
    return inspection.holding({CONSULTED} if lines else (), measured=measured, detail=f"lines: {len(set(lines))}" if lines else "")


def tell_documents(consulted: StageOutput) -> None:
    """Print which way of asking the measurements recommend, unless planning."""
    if isinstance(consulted, Artifact):
        log(documents_verdict(consulted.metrics))


@stage(hooks=(LineageHook(_inspect_consulted), ReportHook(DOCUMENTS), CONSULTING))
def consult(
    config: Consulting,
    work: Workspace,
    index: list[Path],
    model: Path,
    tokenizer: Path,
    questions: Path,
    vectors: list[Path] | None = None,
    reader: Path | None = None,
    reader_tokenizer: Path | None = None,
    untouched: Path | None = None,
) -> Metrics:
    """An index, a model and held-out questions -> metrics.json, consulted.jsonl. `reader`: the model that made the vectors, if another.

    `untouched`: consulted.jsonl of the model before tuning, if it was an open one.
    """
    from data.conversations.records import read_rows
    from data.searching.index import open_index
    from model.evaluation.questions import consult as ask_with_documents
    from model.evaluation.questions import write_records
    from model.hardware.transfers import torch_threads
    from model.inference.chat_format import ChatFormat
    from model.inference.embed import Embedder
    from model.inference.open_model import open_model

    embedder = Embedder(reader or model, reader_tokenizer or tokenizer) if vectors else None
    embed = (lambda question: embedder.vectors([config.question_prefix + question])[0].tolist()) if embedder else None
    with torch_threads(work.threads), open_index(index, vectors=vectors or (), embed=embed, **work.limits) as opened:
        network, chat_format = open_model(model).decoding().prepared(), ChatFormat(tokenizer)
        before = read_rows(untouched) if untouched is not None else None
        metrics, records = ask_with_documents(network, chat_format, questions, opened, config.settings, untouched=before)
    write_records(work.output / CONSULTED, records)
    (work.output / "metrics.json").write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return metrics


CHAMPION = "champion"
EVALUATED = "evaluate.release"  # where in the flow a released model is measured


class Standing(NamedTuple):
    """The alias that a model gets, or "", and why."""

    alias: str
    reason: str


def register(name: str, exported: StageOutput, verdict: StageOutput, measured: StageOutput, split: str, promote: str | None) -> None:
    """Record that an exported model is to be registered under `name`, unless planning.

    measured: its evaluation, compared with the champion's on `split`; promote: why it becomes champion regardless of that.
    """
    run = current_run()
    if isinstance(exported, Artifact) and isinstance(verdict, Artifact) and isinstance(measured, Artifact):
        passed = read_verdict(verdict).passed
        alias, reason = (
            standing(run.store, name, exported, measured, split, promote) if passed else Standing("", "since its gate was overruled")
        )
        log(f"{name}: {'champion' if alias else 'not champion'}, {reason}")
        model = RegisteredModel(name=name, alias=alias, reason=reason, location=exported.location, digest=exported.digest)
        run.registered = (*run.registered, model)


def standing(store: Store, name: str, exported: Artifact, measured: Artifact, split: str, promote: str | None) -> Standing:
    """Return whether a model whose gate passed becomes or stays the champion of `name`, and why."""
    for record in Journal(store).newest():
        champion = next((model for model in record.registered if model.name == name and model.alias == CHAMPION), None)
        if champion is None:
            continue
        if champion.digest == exported.digest:
            return Standing(CHAMPION, "as it was")
        if promote:
            return Standing(CHAMPION, f"promoted by a person: {promote}")
        at = record.positions.get(EVALUATED)
        before = store.index.read(at.location) if at else None
        if not isinstance(before, Artifact):
            return Standing(
                "", f"since what was measured of the champion, of run {record.id}, is not in the store; release.promote decides"
            )
        from model.evaluation.intervals import contest

        found = contest(store.local(measured), store.local(before), split)
        return Standing(CHAMPION if found.better else "", f"beside the champion of run {record.id} {found.words}")
    return Standing(CHAMPION, "the first whose gate passed")
