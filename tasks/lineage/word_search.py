"""Searching everything that folio keeps for a document's words: the store, folio's home, the recipes' sources and retained models.

Lineage says what was made from a document; this finds its words, however they got there. Every file is read once, in pieces;
files of equal content in the store are read only once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

from pydantic import ValidationError

from data.judgements.config import journal_files
from data.provenance.tables import IngestedDocument
from data.searching.decoding import WEIGHTS, FileFindings, Wanted, search_file
from data.searching.tables import Vocabulary
from data.shards.metadata import METADATA
from data.sources.config import ConversationFiles, FilesSource
from data.sources.errors import SourceError
from data.sources.files import find_files
from tasks.lineage.graph import StoreSnapshot
from tasks.lineage.holdings import COPY
from tasks.stage.identity.digests import hash_file
from tasks.stage.store.artifact import RECORD, Artifact
from tasks.stage.store.journal import RunRecord

Removal = Literal["gc", "person"]


@dataclass(frozen=True)
class Place:
    """A kind of file. `advice`: what removes it, or what a person must do.

    `expendable`: safe to delete by itself; `trained`: weights may lie there that no record tells of.
    """

    kind: str
    removal: Removal
    advice: str
    expendable: bool = True
    trained: bool = False


ARTIFACT = Place("artifact", "gc", "goes with its artifact", False)
SOURCE = Place("source", "person", "delete or move it, or exclude the document", False)
RETAINED = Place("retained model", "person", "delete the folder of each model that learned from it", trained=True)
STORE_PLACES = (
    (r"\.quarantine/", Place("quarantined artifact", "gc", "goes after a week in quarantine, or delete its folder now", trained=True)),
    (r"\.staging/", Place("work in progress", "gc", "goes when its stage is done; if it was left, after a day", trained=True)),
    (
        r"[^./][^/]*/(\.[^/]+-[0-9a-f]{6}|[^/]+/[0-9a-f]{32})/",
        Place("replaced artifact", "gc", "a refresh replaced it, or its writer came too late; goes with folio gc", trained=True),
    ),
    (r"\.runs/", Place("journal", "person", "delete the record of the run; then its artifacts count as unused")),
    (r"\.approved/", Place("answer about a verdict", "person", "delete it; the gate then asks again")),
    (r"\.(traces|accepted|locks)/", Place("bookkeeping of the store", "gc", "goes when no kept artifact needs it")),
    (r"", Place("file beside the artifacts", "person", "folio lists it nowhere; delete it", trained=True)),
)
HOME_PLACES = (
    (r"judgements/", Place("journal of judgements", "person", "take those lines out, or delete the file: all lines of one judge")),
    (r"reports/", Place("report", "person", "delete it; later runs write pages of their own")),
    (r"\.?mlflow\.db", Place("MLflow's database", "person", "mlflow experiments delete, then mlflow gc; folio sync fills it again", False)),
    (r"mlflow/", Place("MLflow's copy", "person", "delete it; what else its run has stays in MLflow", trained=True)),
    (r"prefect/.*\.db", Place("Prefect's database", "person", "delete the flow runs, logs and artifacts that have it in Prefect", False)),
    (r"(prefect-results|prefect)/", Place("Prefect's result", "person", "delete it; folio finds its artifacts without it")),
    (r"logs/", Place("log", "person", "stop the services with folio down, then delete it")),
    (r"cache/artifacts/", Place("local copy of a remote artifact", "person", "delete it; it is fetched again when needed")),
    (r"cache/pages/", Place("kept part of a page", "person", "delete it; it is made again when needed")),
    (r"cache/source/", Place("snapshot of the source", "person", "delete it when no run is under way")),
    (r"cache/", Place("cache", "person", "delete it; what is needed is fetched or made again")),
    (r"", Place("file in folio's home", "person", "delete it", trained=True)),
)


def place_in_store(path: str) -> Place:
    """Return what a file is that belongs to no artifact, by its path inside the store."""
    return _first(STORE_PLACES, path)


def place_in_home(path: str) -> Place:
    """Return what a file is by its path inside folio's home."""
    return _first(HOME_PLACES, path)


def _first(places: tuple[tuple[str, Place], ...], path: str) -> Place:
    return next(place for pattern, place in places if re.match(pattern, path))


TOKENIZER = "tokenizer.json"
LEARNED = WEIGHTS - {".npy"}  # arrays of measurements are no weights


@dataclass(frozen=True)
class Holder:
    """A file that holds a document.

    `how`: it has at least half of the document's own phrases (`copy`), some (`words`), only its id or path (`name`), weights that
    learned from it (`learned`), weights of which nothing says what they learned from (`unknown`), or it was read as the document, whatever
    its bytes (`source`); `phrases`: how many; `inside`: tables or members that have them; `location`: of its artifact, if any.
    """

    path: str
    place: Place
    how: Literal["copy", "words", "learned", "unknown", "source", "name"]
    phrases: int = 0
    quote: str = ""
    inside: tuple[str, ...] = ()
    location: str = ""


@dataclass
class Search:
    """The result of a search. `files`, `size`: how many were read, and their bytes; `unread`: (path, why) for what gave no text."""

    holders: list[Holder] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    files: int = 0
    size: int = 0


@dataclass(frozen=True)
class Searched:
    """One file to search. `local`: where it is on this machine; `location`, `content`: its artifact, and its sha256 by the record."""

    path: str
    place: Place
    size: int
    local: Path | None
    location: str = ""
    content: str = ""


class WordSearch:
    """A search of one store and one home.

    `learned`: artifacts whose weights learned from the document; also finds their copies. `document`: the document, if folio read it; the
    file that it was read from is named though its bytes may show no words.
    """

    def __init__(
        self,
        snapshot: StoreSnapshot,
        home: Path,
        wanted: Wanted,
        learned: Iterable[Artifact] = (),
        document: IngestedDocument | None = None,
    ) -> None:
        self.snapshot, self.home, self.wanted, self.document = snapshot, home, wanted, document
        self.store = snapshot.store
        self._weights = {file.sha256: (artifact.location, file.size) for artifact in learned for file in artifact.files
                         if PurePosixPath(file.path).suffix in WEIGHTS or file.path.endswith(TOKENIZER)}  # fmt: skip
        self._weight_sizes = {size for _, size in self._weights.values()}
        self._explained = {location for location, _ in self._weights.values()}
        self._innocent = {file.sha256 for artifact in snapshot.graph.by_address.values() for file in artifact.files} - set(self._weights)
        self._read_from: set[str] = set()
        self._by_content: dict[str, FileFindings] = {}

    def run(self) -> Search:
        """Search all files."""
        found = Search()
        for file in self._files():
            try:
                findings = self._search(file)
            except (FileNotFoundError, PermissionError) as error:
                # A file that vanished meanwhile holds nothing; an unreadable one is reported.
                if isinstance(error, PermissionError):
                    found.unread.append((file.path, "no permission to read it"))
                continue
            found.files += 1
            found.size += file.size
            found.holders += self._holders(file, findings)
            found.unread += [(f"{file.path}{f' ({inside})' if inside else ''}", why) for inside, why in findings.unread]
        return found

    def _files(self) -> Iterator[Searched]:
        yield from self._store_files()
        inside = self.store.local_root
        for path, place in self._local_files():
            if inside is None or not path.is_relative_to(inside):
                try:
                    yield Searched(str(path), place, path.stat().st_size, path)
                except FileNotFoundError:
                    continue

    def _store_files(self) -> Iterator[Searched]:
        listed: dict[str, tuple[str, str]] = {}
        for artifact in self.snapshot.graph.by_address.values():
            listed[f"{artifact.location}/{RECORD}"] = (artifact.location, "")
            listed |= {f"{artifact.files_at}/{file.path}": (artifact.location, file.sha256) for file in artifact.files}
        self.store.fs.invalidate_cache()
        for path, entry in sorted(self.store.fs.find(self.store.root, detail=True).items()):
            name = path[len(self.store.root) :].lstrip("/")
            local = self.store.local_root / name if self.store.local_root is not None else None
            place = ARTIFACT if name in listed else place_in_store(name)
            yield Searched(path, place, int(entry["size"] or 0), local, *listed.get(name, ()))

    def _local_files(self) -> Iterator[tuple[Path, Place]]:
        """Files outside the store, each once: the home's, the sources', retained models'."""
        seen: set[Path] = set()
        for path, place in (*self._home_files(), *self._run_files()):
            if path not in seen:
                seen.add(path)
                yield path, place

    def _home_files(self) -> Iterator[tuple[Path, Place]]:
        return ((path, place_in_home(path.relative_to(self.home).as_posix())) for path in _below(self.home))

    def _run_files(self) -> Iterator[tuple[Path, Place]]:
        seen: list[Any] = []
        for run in self.snapshot.journal.records():
            given = [run.configuration.get(name) for name in ("root", "ingest", "examples", "resources")]
            if given not in seen:
                seen.append(given)
                for name, path in source_files(run).items():
                    if self.document is not None and _is_read_from(self.document, name):
                        self._read_from.add(str(path))
                    yield path, SOURCE
                yield from ((path, RETAINED) for path in _retained(run))

    def _search(self, file: Searched) -> FileFindings:
        # Equal rows mean other text under another tokenizer.
        content = "" if file.path.endswith(".arrow") else file.content
        if content in self._by_content:
            return self._by_content[content]
        with self._open(file) as stream:
            findings = search_file(self.wanted, stream, file.path, self._vocabularies_for(file), file.local)
        if content:
            self._by_content[content] = findings
        return findings

    def _open(self, file: Searched) -> IO[bytes]:
        stream: IO[bytes] = file.local.open("rb") if file.local is not None else self.store.fs.open(file.path, "rb")
        return stream

    def _holders(self, file: Searched, findings: FileFindings) -> Iterator[Holder]:
        match = findings.match
        if match.hashes:
            how: Literal["copy", "words"] = "copy" if len(match.hashes) >= COPY * len(self.wanted.phrases) else "words"
            inside = tuple(sorted(name for name in findings.matches if name))
            yield Holder(file.path, file.place, how, len(match.hashes), match.quote, inside, file.location)
        elif file.location not in self._explained and (copied := self._copied_weights(file)):
            yield Holder(file.path, file.place, "learned", quote=f"the same bytes as in {copied}", location=file.location)
        elif self._may_have_learned(file):
            yield Holder(file.path, file.place, "unknown", quote="weights; nothing says what they learned from")
        elif file.path in self._read_from:
            yield Holder(file.path, file.place, "source")
        elif findings.named:
            yield Holder(file.path, file.place, "name", location=file.location)

    def _copied_weights(self, file: Searched) -> str:
        """Return which artifact's weights a file outside the artifacts is a copy of; "" if of none."""
        if file.size not in self._weight_sizes:
            return ""
        if file.content:
            return self._weights.get(file.content, ("", 0))[0]
        return "" if file.local is None else self._weights.get(hash_file(file.local), ("", 0))[0]

    def _may_have_learned(self, file: Searched) -> bool:
        """Whether a file outside the artifacts has weights that no record tells of, such as a checkpoint or a quarantined model."""
        if self.document is None or not file.place.trained or file.location or PurePosixPath(file.path).suffix not in LEARNED:
            return False
        return file.local is None or hash_file(file.local) not in self._innocent

    def _vocabularies_for(self, file: Searched) -> tuple[Vocabulary, ...]:
        """The vocabulary of the tokenizer that wrote a directory of rows, or all that there are if the directory does not say."""
        if not file.path.endswith((".arrow", ".tokens")):
            return ()
        folder = file.path.rpartition("/")[0]
        try:
            with self.store.fs.open(f"{folder}/{METADATA}", "rb") as stream:
                said = stream.read().decode("utf-8", "replace")
        except (FileNotFoundError, NotADirectoryError):
            return tuple(self._vocabularies.values())
        return tuple(vocabulary for digest, vocabulary in self._vocabularies.items() if digest in said)

    @cached_property
    def _vocabularies(self) -> Mapping[str, Vocabulary]:
        """Every tokenizer in the store, by the sha256 of its file."""
        found: dict[str, Vocabulary] = {}
        for artifact in self.snapshot.graph.newest_first:
            for file in artifact.files:
                if file.path.rpartition("/")[2] == TOKENIZER and file.sha256 not in found:
                    try:
                        with self.snapshot.open(artifact, file.path) as stream:
                            found[file.sha256] = Vocabulary.read(stream.read())
                    except (FileNotFoundError, ValueError):
                        continue
        return found


def source_files(run: RunRecord) -> dict[str, Path]:
    """Return the local files that a run's recipe reads: name in outputs -> path. Sources that are gone give none."""
    found: dict[str, Path] = {}
    sections = [(run.configuration.get(name, {}), kind) for name, kind in (("ingest", FilesSource), ("examples", ConversationFiles))]
    for source, kind in ((source, kind) for section, kind in sections for source in section.get("sources", ())):
        # Each path by itself, since one that is gone must not hide the others.
        for path in source.get("paths", ()) if source.get("kind") == "files" else ():
            try:
                configured = kind.model_validate({**source, "paths": [path]})
                files = find_files(configured, Path(run.configuration.get("root", ".")))
            except (ValidationError, SourceError):
                continue
            found |= {f"{configured.label}/{name}": path for name, path in files.items()}
        # A journal in folio's home is found there.
        if source.get("kind") == "judgements" and source.get("folder"):
            journal = journal_files(Path(run.configuration.get("root", "."), source["folder"]))
            found |= {f"{source['name']}/{path.name}": path for path in journal}
    return found


def _is_read_from(document: IngestedDocument, name: str) -> bool:
    """Whether a document was read from the file of a name: it is the file, a member of it, or a record."""
    return document.name == name or document.name.startswith((f"{name}/", f"{name}#"))


def _retained(run: RunRecord) -> Iterator[Path]:
    """The files of the models that training retained outside the store."""
    folder = run.configuration.get("resources", {}).get("training", {}).get("keep_in", "")
    return _below(Path(run.configuration.get("root", "."), folder)) if folder else iter(())


def _below(folder: Path) -> Iterator[Path]:
    """Every regular file below a folder, without following links."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (path for name in sorted(names) if (path := Path(parent, name)).is_file() and not path.is_symlink())
