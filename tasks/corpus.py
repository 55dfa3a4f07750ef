"""The stages of the corpus chapter: sources read, cleaned, deduplicated, filtered, decontaminated, split and audited."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

from data.audit.config import DESCRIBED, AuditConfig, GramConfig
from data.cleaning.config import CleanConfig
from data.decontamination.config import ContaminationConfig, CutConfig, SearchConfig
from data.decontamination.evaluation import evaluation_digests
from data.dedup.config import DedupConfig
from data.documents.sharding import SLICE, shard_of
from data.examples.config import ExamplesConfig
from data.filtering.config import ClassifierConfig, FilterConfig
from data.filtering.observed_files import ObservedFiles, example_digests, observed_digests
from data.judgements.config import JudgementConfig, judgement_state
from data.provenance.tables import has_document, lines_naming, rows_of
from data.searching.passages import PASSAGES_FILE, POSTINGS_FILE, IndexConfig
from data.shards.address import TAUGHT_TEXTS, Teaching
from data.shards.pictures import PARTS
from data.sources.config import JUDGED, ConversationIngest, IngestConfig
from data.sources.errors import refuse_empty_sources
from data.sources.files import census_state, groups_at_work, source_state, unpack_state
from data.sources.sharing import GROUPS
from data.splits.config import LARGE_CLUSTERS, DivideConfig, LargeCluster, SplitConfig
from data.synthetic.config import ModelMaker, SymbolsMaker, SyntheticSource, model_directory, read_prompts, synthetic_state
from data.universe.config import UniverseSource
from model.inference.config import SamplingConfig
from tasks.forecast.hook import TEACHING, WorkHook
from tasks.lineage.hook import Holding, Inspection, LineageHook, document_tables, holds_nothing
from tasks.reporting.cleaning import HELD_OUT, PERSONAL, RULES, SCORED
from tasks.reporting.corpus import CONVERSATIONS, CORPUS
from tasks.reporting.hook import ReportHook
from tasks.reporting.judgements import JUDGEMENTS
from tasks.stage.execution.run import current_run
from tasks.stage.stage import Metrics, Workspace, stage
from tasks.stage.store.artifact import ShardedArtifact, SlicedArtifact
from tasks.stage.system.progress import log


def _inspect_universe(inspection: Inspection) -> Holding:
    """Its books are files; truth/ has them again, undamaged."""
    document = inspection.document
    is_ours = document.source == inspection.artifact.config.get("kind") and inspection.has(document.path)
    return inspection.holding({document.path, "truth"} if is_ours else ())


@stage(body="data.universe.write:write_universe", hooks=(LineageHook(_inspect_universe), WorkHook("tasks.forecast.work:books", "books")))
def universe(config: UniverseSource) -> Metrics:
    """Nothing -> books/, truth/, world.json."""


TEXTS = "texts.parquet"


def _inspect_synthetic(inspection: Inspection) -> Holding:
    """Generated texts are in one table. The model that wrote them may have learned from any document."""
    document, config = inspection.document, inspection.artifact.config
    is_ours = document.source == config.get("name")
    if is_ours and inspection.read(TEXTS, lambda stream, _: has_document(stream, document.path, ("path",))):
        return inspection.holding({TEXTS})
    maker = config.get("maker")
    if not isinstance(maker, dict) or maker.get("kind") != "model":
        return inspection.holding()
    return inspection.holding(learned=True, certain=False, detail="written by a model that may have learned from it")


@stage(observes=synthetic_state, hooks=(LineageHook(_inspect_synthetic),))
def synthesize(config: SyntheticSource, work: Workspace) -> Metrics:
    """Templates, a task of symbols, or a model directory and prompts -> texts.parquet."""
    from data.synthetic.text_table import generate_texts, write_texts

    maker = config.maker
    if isinstance(maker, SymbolsMaker):
        from data.synthetic.symbols import sequences

        return write_texts(work.output, maker.task, sequences(maker), marked=False)
    if not isinstance(maker, ModelMaker):
        return write_texts(work.output, maker.kind, generate_texts(maker))
    from model.inference.generation import sample_texts

    sampling = SamplingConfig(temperature=maker.temperature, top_p=maker.top_p, max_new_tokens=maker.max_tokens)
    texts = sample_texts(model_directory(maker, work.root), read_prompts(maker, work.root), maker.samples, sampling, maker.seed)
    return write_texts(work.output, maker.kind, texts)


def _inspect_judged(inspection: Inspection) -> Holding:
    """Its examples are lines of one file; the ledger and the ratings have no words of them."""
    document, config = inspection.document, inspection.artifact.config
    file, _, identity = document.path.partition("#")
    if document.source != config.get("name") or file != JUDGED:
        return inspection.holding()
    held = inspection.read(JUDGED, lambda stream, _: any(json.loads(line)["id"] == identity for line in stream))
    return inspection.holding({JUDGED} if held else ())


@stage(observes=judgement_state, hooks=(LineageHook(_inspect_judged), ReportHook(JUDGEMENTS, title="judgements")))
def judgements(config: JudgementConfig, work: Workspace) -> Metrics:
    """A journal of judgements -> judged.jsonl, ledger.jsonl, ratings.json, metrics.json."""
    from data.judgements.examples import write_judged

    return write_judged(work.root / config.folder, work.output, config, work.observed)


def holds_document(stream: IO[bytes], identity: str) -> bool:
    """Return whether a slice has words of a document."""
    from data.sources.unpacked import HELD

    return any(row["item"] in HELD for row in rows_of(stream, identity, ("item",)))


def has_words(inspection: Inspection) -> Holding:
    """A group of files: the slice of the document's shard, if it has the document."""
    slices = [known.path for known in inspection.artifact.files if known.path.endswith(".parquet")]
    mine = SLICE.format(shard_of(inspection.document.id, len(slices)))
    return inspection.holding({mine} if inspection.read(mine, holds_document) else ())


@stage(body="data.sources.reading:unpack", observes=unpack_state, hooks=(LineageHook(has_words),))
def unpack(config: IngestConfig) -> Metrics:
    """Archives and files of records, by groups -> a slice for each shard of ingest: 0000.parquet and so on."""


def unpacked(config: IngestConfig) -> SlicedArtifact | None:
    """Unpack what the shards of ingest do not open themselves; None if there is nothing of the kind."""
    groups = groups_at_work(config, current_run().root)
    return SlicedArtifact(made=unpack.over(GROUPS, groups)(config), name=SLICE) if groups else None


@stage(
    observes=source_state,
    hooks=(
        LineageHook(document_tables, in_corpus=True, reads_sources=True),
        ReportHook(title="read"),
        WorkHook("tasks.forecast.work:source_bytes"),
    ),
)
def ingest(
    config: IngestConfig | ConversationIngest,
    work: Workspace,
    universe: Path | None = None,
    synthetic: Path | None = None,
    unpacked: list[Path] | None = None,
    judgements: Path | None = None,
) -> Metrics:
    """Sources, slices of what was unpacked, books/ of a universe, generated texts, what judgements come to -> documents, quarantine and
    ledger.parquet."""
    from data.sources.ingest import IngestInputs
    from data.sources.ingest import ingest as read_sources

    around = IngestInputs(work.root, work.cache, universe, work.observed, synthetic, unpacked or (), judgements)
    return read_sources(config, work.output, around, work.shard, **work.limits)


def require_texts(config: IngestConfig, shards: ShardedArtifact) -> None:
    """Raise SourceError naming the source if one gave no text in any shard. Does nothing if a shard is only planned."""
    made, run = shards.artifacts(), current_run()
    if len(made) == len(shards.items):
        quarantines = (run.store.verified(artifact, "quarantine.parquet") for artifact in made)
        refuse_empty_sources(config, run.root, (artifact.metrics for artifact in made), quarantines)


@stage(body="data.sources.census:census", observes=census_state, hooks=(LineageHook(holds_nothing),))
def census(config: IngestConfig, ingested: list[Path]) -> Metrics:
    """Sources and the tables of ingest -> census.parquet, census.json."""


@stage(body="data.cleaning.clean:clean", hooks=(LineageHook(document_tables, in_corpus=True), ReportHook(title="cleaned")))
def clean(config: CleanConfig, documents: Path) -> Metrics:
    """documents.parquet of a shard -> documents.parquet, ledger.parquet."""


@stage(
    hooks=(LineageHook(document_tables, in_corpus=True, finds_duplicates=True), ReportHook(title="deduplicated")),
)
def dedup(
    config: DedupConfig,
    work: Workspace,
    documents: list[Path],
    accounts: list[Path] | None = None,
    pairs: list[Path] | None = None,
    compared: list[Path] | None = None,
    parts: list[Path] | None = None,
) -> Metrics:
    """documents.parquet of each shard -> documents/ and sizes/ by shard, clusters.parquet, pairs.parquet, ledger.parquet, removed/.

    `accounts`: the results of the shards; `pairs` and `compared`: those of the partitions of clusters and of candidate pairs; `parts`:
    parts.parquet of each shard, whose pictures and sounds are compared."""
    if accounts is not None:
        from data.dedup.partitioned.account import Parts, join_accounts

        metrics = join_accounts(documents, Parts(accounts, pairs or (), compared or ()), work.output, **work.limits)
    else:
        from data.dedup.dedup import dedup as remove_duplicates

        metrics = remove_duplicates(documents, work.output, config, **work.limits)
    if parts:
        from data.dedup.clusters import connect_media

        metrics |= connect_media(documents, parts, work.output, config.media, **work.limits)
    return metrics


@stage(observes=example_digests, hooks=(LineageHook(holds_nothing),))
def quality(config: ClassifierConfig, work: Workspace) -> Metrics:
    """Good and bad texts -> classifier.safetensors, classifier.json."""
    from data.filtering.quality import train

    return train(config, ObservedFiles(work.root, work.observed), work.output)


@stage(
    observes=observed_digests,
    hooks=(LineageHook(document_tables, in_corpus=True), ReportHook(PERSONAL, title="filtered")),
)
def filter(config: FilterConfig, work: Workspace, documents: Path, classifier: Path | None = None) -> Metrics:
    """documents.parquet of a shard, a classifier if the recipe uses one -> documents.parquet, ledger.parquet, edits.parquet, removed/.

    With redaction also personal_data.json, of the first shard: how well personal data is found where it is known.
    """
    from data.filtering.filter import filter_documents
    from data.filtering.pii.confusion import write_confusion

    files = ObservedFiles(work.root, work.observed)
    if config.pii.enabled and (work.shard is None or work.shard.number == 0):
        write_confusion(work.output, config.pii, files)
    return filter_documents(documents, work.output, config, files, classifier=classifier, progress=work.meter.show, **work.limits)


@stage(observes=evaluation_digests, hooks=(LineageHook(holds_nothing),))
def search(
    config: SearchConfig, work: Workspace, documents: Path, test: list[Path] | None = None, questions: Path | None = None
) -> Metrics:
    """documents.parquet of a shard, and what the run holds out -> matches.parquet, sought.parquet, sets.parquet."""
    from data.decontamination.decontaminate import search as find_matches

    held_out = {name: files for name, files in (("test", test or []), ("questions", [questions] if questions else [])) if files}
    return find_matches(documents, work.output, config, root=work.root, observed=work.observed, held_out=held_out, **work.limits)


@stage(body="data.decontamination.decontaminate:find_contamination", hooks=(LineageHook(holds_nothing),))
def contamination(config: ContaminationConfig, found: list[Path]) -> Metrics:
    """Join what the search of each shard found -> slices of passages by shard."""


CONTAMINATED = "contaminated.parquet"


def _inspect_decontaminated(inspection: Inspection) -> Holding:
    """Its tables, and the list of contaminated passages, which quotes documents."""
    holding = document_tables(inspection)
    quoted = inspection.has(CONTAMINATED) and inspection.read(CONTAMINATED, has_document)
    return replace(holding, parts=holding.parts | {CONTAMINATED}) if quoted else holding


@stage(
    body="data.decontamination.decontaminate:decontaminate",
    hooks=(LineageHook(_inspect_decontaminated, in_corpus=True), ReportHook(title="decontaminated")),
)
def decontaminate(config: CutConfig, documents: Path, passages: Path) -> Metrics:
    """documents.parquet of a shard, its passages -> documents, sizes, contaminated and ledger.parquet, removed/."""


@stage(hooks=(LineageHook(holds_nothing),))
def assign(config: SplitConfig, work: Workspace, sizes: list[Path], clusters: Path) -> Metrics:
    """sizes of the documents of each shard, clusters.parquet -> slices of the assignment by shard, large_clusters.json."""
    from data.splits.assignment import assign as assign_documents

    metrics = assign_documents(sizes, clusters, work.output, config, **work.limits)
    if metrics["large_clusters"]:
        for large in json.loads((work.output / LARGE_CLUSTERS).read_text("utf-8")):
            log(f"split: {LargeCluster.model_validate(large).warning}")
    return metrics


@stage(body="data.splits.assignment:split", hooks=(LineageHook(document_tables, in_corpus=True), ReportHook(title="split")))
def split(config: DivideConfig, documents: Path, assigned: Path) -> Metrics:
    """documents.parquet of a shard, its slice of the assignment -> train.parquet and train_size.json, val.parquet, test.parquet,
    ledger.parquet, removed/."""


def _inspect_survey(inspection: Inspection) -> Holding:
    """Its table has titles, which may be words of the documents."""
    named = inspection.has(DESCRIBED) and inspection.read(DESCRIBED, has_document)
    return inspection.holding({DESCRIBED} if named else (), detail="its title" if named else "")


@stage(hooks=(LineageHook(_inspect_survey),))
def survey(
    config: GramConfig,
    work: Workspace,
    ingested: Path,
    cleaned: Path,
    deduplicated: Path,
    splits: Path,
    filtered: Path | None = None,
    decontaminated: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard after each stage, and its splits -> described.parquet, grams.parquet."""
    from data.audit.audit import survey as survey_shard

    stages = {"ingest": ingested, "clean": cleaned, "filter": filtered, "dedup": deduplicated, "decontaminate": decontaminated}
    return survey_shard({name: path for name, path in stages.items() if path}, splits, work.output, config, **work.limits)


@stage(body="data.audit.leaks:overlap", hooks=(LineageHook(holds_nothing),))
def overlap(config: GramConfig, train: Path, val: Path, held_out: list[Path]) -> Metrics:
    """train.parquet and val.parquet of a shard, grams.parquet of every shard -> seen.parquet."""


def _inspect_audit(inspection: Inspection) -> Holding:
    """The audit quotes passages that two splits share."""
    columns = {"leaks.parquet": ("id", "train_id", "val_id"), "leaked_documents.parquet": ("id",)}
    quoted = {f for f, ids in columns.items() if inspection.has(f) and inspection.read(f, partial(has_document, columns=ids))}
    return inspection.holding(quoted, detail="quoted as a leak" if quoted else "")


@stage(hooks=(LineageHook(_inspect_audit, audits_corpus=True), ReportHook(CORPUS, RULES, HELD_OUT, SCORED)))
def audit(
    config: AuditConfig,
    work: Workspace,
    surveyed: list[Path],
    overlaps: list[Path],
    val: list[Path],
    test: list[Path],
    quarantined: list[Path],
    ingested: list[Path],
    cleaned: list[Path],
    deduplicated: Path,
    splits: list[Path],
    filtered: list[Path] | None = None,
    decontaminated: list[Path] | None = None,
    truth: Path | None = None,
    clean_texts: list[Path] | None = None,
    unique_texts: list[Path] | None = None,
) -> Metrics:
    """Surveys, overlaps, held-out texts and ledgers of each shard -> leaks.parquet, leaked_documents.parquet, funnel.json, metrics.json.

    `truth`: that of a universe, with which the cleaned and the deduplicated texts are compared."""
    from data.audit.audit import Shards
    from data.audit.audit import audit as audit_shards
    from data.universe.score import score

    ledgers = {"ingest": ingested, "clean": cleaned, "filter": filtered, "dedup": [deduplicated], "decontaminate": decontaminated}
    accounts = {name: files for name, files in (ledgers | {"split": splits}).items() if files}
    shards = Shards(surveyed, overlaps, {"val": val, "test": test}, accounts, quarantined)
    metrics = audit_shards(shards, work.output, config, **work.limits)
    if truth is not None:
        metrics |= score(truth, clean_texts or [], unique_texts or [], deduplicated)
    (work.output / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True))
    return metrics


def _inspect_index(inspection: Inspection) -> Holding:
    """It has passages of documents, and how often their words occur."""
    held = inspection.read(PASSAGES_FILE, has_document)
    return inspection.holding({PASSAGES_FILE, POSTINGS_FILE} if held else ())


@stage(body="data.searching.index:build_index", hooks=(LineageHook(_inspect_index),))
def index(config: IndexConfig, documents: Path) -> Metrics:
    """documents.parquet of a shard -> passages.parquet, postings.parquet."""


def _inspect_taught(inspection: Inspection) -> Holding:
    """Each line names the document of its passage."""
    files = [known.path for known in inspection.artifact.files if known.path.endswith(".jsonl")]
    held = {file: len(inspection.read(file, lines_naming)[0]) for file in files}
    parts = {file for file, count in held.items() if count}
    if inspection.has(TAUGHT_TEXTS) and inspection.read(TAUGHT_TEXTS, partial(has_document, columns=("document",))):
        parts.add(TAUGHT_TEXTS)
    return inspection.holding(parts, detail=f"{sum(held.values())} lines" if any(held.values()) else "")


def _inspect_examples(inspection: Inspection) -> Holding:
    """Examples of a universe are made from its facts alone, but for passages, which name their books, as others do in each line.

    Of those others a line without names may be of any book.
    """
    of_facts = inspection.artifact.config.get("kind") == "universe"
    if of_facts and not inspection.artifact.config.get("events"):
        return inspection.holding()
    parts, certain, count = set[str](), True, 0
    reached = any(splits.parts & {"", "train.parquet"} for splits in inspection.inputs_named("splits"))
    reached = reached or any(generated.parts for generated in inspection.inputs_named("generated"))
    for file in (known.path for known in inspection.artifact.files if known.path.endswith(".jsonl")):
        lines, complete = inspection.read(file, lines_naming)
        complete = complete or of_facts
        if lines or (not complete and reached):
            parts.add(file)
        certain, count = certain and (complete or not reached), count + len(lines)
    if inspection.has(PARTS) and inspection.read(PARTS, has_document):
        parts.add(PARTS)
    return inspection.holding(parts, certain=certain, detail=f"{count} lines" if count else "")


@stage(hooks=(LineageHook(_inspect_taught), TEACHING))
def teach(config: Teaching, work: Workspace, passages: list[Path]) -> Metrics:
    """Passages of each shard, and a teacher -> taught.jsonl, texts.parquet, set_aside.jsonl."""
    from model.pairing.teacher import teach as ask_teacher

    return ask_teacher(passages, work.output, config, journal=work.resume / "replies.jsonl")


@stage(hooks=(LineageHook(_inspect_examples), ReportHook(CONVERSATIONS)))
def examples(
    config: ExamplesConfig,
    work: Workspace,
    splits: list[Path],
    world: Path | None = None,
    generated: Path | None = None,
    passages: list[Path] | None = None,
    taught: Path | None = None,
    parts: list[Path] | None = None,
    contaminated: Path | None = None,
) -> Metrics:
    """Splits of books, or of conversations and generated examples, or what a teacher wrote about passages -> instructions_*.jsonl,
    preferences_*.jsonl, questions_*.jsonl.

    `parts`: parts.parquet of each shard, with the pictures that are asked about; the examples then have one, too. `contaminated`: which
    lines of `taught` hold text that is held out.
    """
    from data.examples.make import make_examples

    return make_examples(splits, world, work.output, config, generated, passages or (), taught, parts or (), contaminated, work.limits)
