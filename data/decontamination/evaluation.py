"""Finds the files of evaluation sets, and reads the texts of their items one at a time.

Files come in the order of their names, each once; items are numbered from 1 through all files of a set. A set is read as a whole or not at
all: a path that matches nothing, a malformed row and a missing field raise errors that name the file and the row. What is read is what the
stage's key was computed from; a changed file raises an error.
Reads each file once for its digest and once for its texts. Memory holds one row, or a few hundred of a Parquet file.
"""

from __future__ import annotations

import csv
import glob
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from data.decontamination.config import SUFFIXES, EvaluationSet, SearchConfig
from data.documents.sharding import CorpusShard
from data.shards.durable import file_digest

DigestOf = Callable[[Iterable[Path]], Mapping[Path, str]]
_ROWS = 256


class EvaluationError(ValueError):
    """An evaluation set can't be read as the recipe asks."""


class ItemText(NamedTuple):
    """A text of an item. An item has one for each field that is searched for, or a single empty one."""

    name: str
    item: int
    text: str


def evaluation_digests(config: SearchConfig, root: Path, shard: CorpusShard | None, digest_of: DigestOf) -> dict[str, str]:
    """Return {set/relative path: digest} for every file of the sets, for the key of the stage."""
    files = {f"{evaluation.name}/{name}": path for evaluation in config.against for name, path in find_files(evaluation, root).items()}
    digests = digest_of(files.values())
    return {name: digests[path] for name, path in files.items()}


def find_files(evaluation: EvaluationSet, root: Path) -> dict[str, Path]:
    """Return {path relative to the root: file} of a set, sorted. Raise EvaluationError for a missing path or an unknown suffix."""
    found: dict[str, Path] = {}
    for pattern in evaluation.paths:
        matches = [Path(path) for path in glob.glob(str(root / pattern), recursive=True)]  # noqa: PTH207  # absolute patterns, too
        matches = [path for path in matches if path.is_file()]
        if not matches:
            raise EvaluationError(
                f"evaluation set {evaluation.name!r}: {pattern!r} matches no file under {root}; correct decontaminate.against"
            )
        for path in matches:
            if path.suffix.lower() not in SUFFIXES:
                raise EvaluationError(
                    f"evaluation set {evaluation.name!r}: {path} has none of the suffixes {', '.join(SUFFIXES)}; convert it or leave it out"
                )
            found[os.path.relpath(path, root)] = path
    return dict(sorted(found.items()))


# The fields of held-out files that say what is asked or told; others are names and wrong answers.
HELD_OUT_FIELDS = ("text", "question", "answers")


def read_held_out(held_out: Mapping[str, Sequence[Path]]) -> Iterator[ItemText]:
    """Yield the texts of files that the run itself holds out: {name of the set: a file of documents or questions, or several
    of documents, read by id}."""
    for name, files in held_out.items():
        for number, item in enumerate(_held_out_items(files), start=1):
            found = [text for field in HELD_OUT_FIELDS if field in item for text in _strings(item[field])]
            yield from (ItemText(name, number, text) for text in found or [""])


def _held_out_items(files: Sequence[Path]) -> Iterator[Any]:
    from data.documents.stream import merged

    if len(files) == 1:
        yield from _items(files[0])
    else:
        yield from (row for table in merged(files) for row in table.to_pylist())


def read_texts(config: SearchConfig, root: Path, observed: Mapping[str, str] | None) -> Iterator[ItemText]:
    """Yield every text of every item, set by set. `observed`: the digests that the key was computed from; None: don't check."""
    for evaluation in config.against:
        number = 0
        for name, path in find_files(evaluation, root).items():
            _require_unchanged(f"{evaluation.name}/{name}", path, observed)
            for row, item in enumerate(_items(path), start=1):
                number += 1
                chosen = [_field(item, field, path, row) for field in evaluation.fields] if evaluation.fields else [item]
                found = [text for value in chosen for text in _strings(value)]
                yield from (ItemText(evaluation.name, number, text) for text in found or [""])


def _require_unchanged(name: str, path: Path, observed: Mapping[str, str] | None) -> None:
    if observed is not None and file_digest(path) != observed.get(name):
        raise EvaluationError(f"{name} changed during the run; start the run again")


def _items(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".parquet":
            for batch in pq.ParquetFile(path).iter_batches(_ROWS):
                yield from batch.to_pylist()
            return
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from _READERS[path.suffix.lower()](stream)
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError, pa.ArrowException) as error:
        raise EvaluationError(f"{path}: {error}; an evaluation set must be read whole, so correct the file or leave it out") from error


def _json_lines(stream: IO[str]) -> Iterator[Any]:
    return (json.loads(line) for line in stream if line.strip())


def _paragraphs(stream: IO[str]) -> Iterator[str]:
    lines: list[str] = []
    for line in stream:
        if line.strip():
            lines.append(line)
        elif lines:
            yield "".join(lines)
            lines = []
    if lines:
        yield "".join(lines)


_READERS: Mapping[str, Callable[[IO[str]], Iterator[Any]]] = {".jsonl": _json_lines, ".csv": csv.DictReader, ".txt": _paragraphs}


def _field(item: Any, field: str, path: Path, row: int) -> Any:
    if not isinstance(item, dict) or field not in item:
        fields = f"it has {', '.join(map(str, item))}" if isinstance(item, dict) else "it has no fields"
        raise EvaluationError(f"{path}: item {row} has no field {field!r} ({fields}); correct `fields` in decontaminate.against")
    return item[field]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
