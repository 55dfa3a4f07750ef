"""The config of a source of judgements, and its observed state: the digests of the journal's files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, Field

from data.documents.sharding import CorpusShard
from data.sources.errors import SourceError

DigestOf = Callable[[Iterable[Path]], Mapping[Path, str]]
ENDING = ".jsonl"


class JudgementConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The journal that a recipe reads."""

    name: str = Field(description="name of the source, part of the ids of what is made of it")
    folder: str = Field(json_schema_extra={"identity": False}, description="folder of the journal, relative to the recipe's root; path")
    without: tuple[str, ...] = Field(
        (), description="what is never read: examples by id or by the sha256 of their text, answers and judges by their sha256; hex digits"
    )


def journal_files(folder: Path) -> list[Path]:
    """Return a journal's files in order of name. Hidden ones and those of other endings are none of it."""
    return sorted(path for path in folder.glob(f"*{ENDING}") if path.is_file() and not path.name.startswith("."))


def judgement_state(config: JudgementConfig, root: Path, shard: CorpusShard | None, digest_of: DigestOf) -> dict[str, str]:
    """Return {source/file: digest} of a journal, for the stage's key. Raise SourceError if nobody has judged yet."""
    folder = root / config.folder
    files = journal_files(folder)
    if not files:
        raise SourceError(
            f"source {config.name!r}: {folder} has no judgements ({'*' + ENDING}); judge answers on the page that `folio up` serves, "
            "correct `folder`, or leave the source out"
        )
    digests = digest_of(files)
    return {f"{config.name}/{path.name}": digests[path] for path in files}
