"""The record of an artifact, the only thing that passes between tasks.

A record is frozen, plain JSON, complete lineage by itself, and ends in its own checksum. `digest` hashes only the names and contents of
the files, so equal bytes have equal digests wherever and whenever they were made. Files under `logs/` (timings, process output) are kept
and checked but left out of the digest, because they differ between two equal executions.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.stage.identity.digests import UNREADABLE, hash_files

SEAL = re.compile(rb',\n "checksum": "([0-9a-f]{64})"\n}\Z')
END = b"\n}"


class BrokenSeal(ValueError):
    """A file's checksum does not match its content."""


def seal(text: str) -> bytes:
    """Return a JSON object, indented by one space, with the hex sha256 of its text as a last member `checksum`."""
    body = text.encode().removesuffix(END)
    return body + b',\n "checksum": "' + hashlib.sha256(body).hexdigest().encode() + b'"' + END


def unseal(content: bytes) -> tuple[bytes, bool]:
    """Return the JSON object without its checksum, and whether it had one. Raise BrokenSeal if the checksum does not match."""
    found = SEAL.search(content)
    if found is None:
        return content, False
    body = content[: found.start()]
    if hashlib.sha256(body).hexdigest().encode() != found[1]:
        raise BrokenSeal("its checksum does not match its content")
    return body + END, True


LOGS = "logs/"
RECORD = "artifact.json"
FORMAT = 2
WRITER = re.compile(r"[0-9a-f]{32}")
"""Names of the folders of writers, which are their tokens."""


class File(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """One file of an artifact."""

    path: str = Field(description="path inside the artifact, with forward slashes")
    size: int = Field(description="bytes")
    sha256: str = Field(description="hex digest of the content")


class InputRecord(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A reference to an input of a stage: an artifact, or the part of it below a prefix."""

    stage: str
    address: str
    digest: str = Field(description="digest of the files that the stage was given; of the part alone, if it was given a part")
    location: str
    part: str = ""

    @model_validator(mode="before")
    @classmethod
    def _known_by_key(cls, data: Any) -> Any:
        """Before traces were recorded, an artifact was known by its key."""
        if isinstance(data, dict) and "key" in data:
            data = {"address" if name == "key" else name: value for name, value in data.items()}
        return data


class Cost(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The cost of one execution."""

    wall_seconds: float = 0.0
    cpu_seconds: float = Field(0.0, description="user and system time of the process and of its children that have ended")
    gpu_seconds: float = Field(0.0, description="wall seconds times devices used")


class Origin(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """When, where and by which code an artifact was made; not part of its identity."""

    created: str = Field(description="UTC time, ISO 8601")
    host: str
    device: str
    git_commit: str
    git_dirty: bool
    packages: dict[str, str]
    run_id: str = Field("", description="id in the journal of the run that made it; empty in records from before it was kept")
    mlflow_run_id: str = Field("", description="only in records from before `run_id`")
    mlflow_model_id: str = Field("", description="only in records from before `run_id`")


class Artifact(BaseModel):
    """The record of what one execution of a stage made."""

    # A metric may be NaN, which plain JSON can't hold.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    format: int = FORMAT
    stage: str
    label: str = Field(description="recipe name and position in the flow, for people; not identity")
    key: str = Field(description="what was known before the execution: stage, config and inputs, hex sha256; lists candidates for reuse")
    address: str = Field("", description="identity of the execution: of its key and its trace")
    trace: str = Field("", description="hash of what the execution read; empty in records from before traces, which are not reused")
    marks: str = Field("", description="name of the file in the store's .traces that says what was executed and opened")
    digest: str = Field(description="identity of the content, hex sha256")
    location: str = Field(description="path inside the store")
    folder: str = Field("", description="folder below the location with the files, its writer's own; empty: the location itself")
    files: tuple[File, ...]
    config: dict[str, Any]
    ingredients: dict[str, str] = Field(description="everything that went into the key, by name")
    inputs: dict[str, InputRecord]
    metrics: dict[str, float]
    cost: Cost
    origin: Origin

    @model_validator(mode="after")
    def _known_by_key(self) -> Artifact:
        """Before traces were recorded, an artifact was known by its key."""
        if not self.address:
            object.__setattr__(self, "address", self.key)
        return self

    def sealed(self) -> bytes:
        """Return the content of the record's file."""
        return seal(self.model_dump_json(indent=1))

    @classmethod
    def unsealed(cls, content: bytes) -> Artifact:
        """Return the record in a file. Raise ValueError if the file is damaged."""
        text, checked = unseal(content)
        found = cls.model_validate_json(text)
        if found.format >= FORMAT and not checked:
            raise ValueError("it does not end in its checksum")
        return found

    @property
    def files_at(self) -> str:
        """Path of the files inside the store."""
        return f"{self.location}/{self.folder}" if self.folder else self.location

    @property
    def name(self) -> str:
        """Readable name, such as `clean/universe-3f9a2c1e77b0`."""
        return self.location

    def part(self, prefix: str) -> ArtifactPart:
        """Return the files at or below `prefix`, with a digest of their own. Raises KeyError when there are none."""
        found = ArtifactPart(artifact=self, prefix=prefix)
        if not found.files:
            raise KeyError(f"{self.name} has no file at {prefix!r} that counts; it has {[f.path for f in self.files][:12]}.")
        return found

    def reference(self) -> InputRecord:
        """Return this artifact as another stage's input."""
        return InputRecord(stage=self.stage, address=self.address, digest=self.digest, location=self.location)


class ArtifactPart(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Some of an artifact's files, so a stage depends only on what it reads."""

    artifact: Artifact
    prefix: str

    @property
    def files(self) -> tuple[File, ...]:
        """The files of this part; logs never belong to one, since no digest would show that they changed."""
        below = self.prefix.rstrip("/") + "/"
        return tuple(f for f in self.artifact.files if (f.path == self.prefix or f.path.startswith(below)) and not f.path.startswith(LOGS))

    @property
    def digest(self) -> str:
        """Content digest of these files."""
        return content_digest(self.files)

    def reference(self) -> InputRecord:
        """Return this part as another stage's input."""
        return self.artifact.reference().model_copy(update={"digest": self.digest, "part": self.prefix})


class PendingArtifact(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Stands in for an artifact that does not exist yet, or for its part at or below `prefix`, while planning."""

    position: str
    prefix: str = ""

    def part(self, prefix: str) -> PendingArtifact:
        """Return the stand-in for the part."""
        return self.model_copy(update={"prefix": prefix})


StageOutput = Artifact | PendingArtifact
StageInput = Artifact | ArtifactPart | PendingArtifact


class ShardedArtifact(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The output of a sharded stage: one artifact a shard, in the order of the shards."""

    position: str = Field(description="the stage's name in the flow")
    items: tuple[StageInput, ...]

    @classmethod
    def of(cls, made: StageOutput, name: str, count: int) -> ShardedArtifact:
        """Return the shards that one artifact holds. `name`: a shard's path in it, with {} for the shard's number.

        Each has its own digest, so one that another execution left as it was reruns nothing. Raises KeyError for a missing shard."""
        position = made.position if isinstance(made, PendingArtifact) else made.stage
        return cls(position=position, items=tuple(made.part(name.format(number)) for number in range(count)))

    def part(self, prefix: str) -> ShardedArtifact:
        """Return the files at or below `prefix` of each shard. Raises KeyError when a shard has none."""
        return self.model_copy(update={"items": tuple(item.part(prefix) for item in self.items)})  # type: ignore[union-attr]

    def artifacts(self) -> tuple[Artifact, ...]:
        """Return the artifacts that exist already."""
        return tuple(item for item in self.items if isinstance(item, Artifact))


class SlicedArtifact(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The output of a sharded stage that divides it among the shards of another: each is given its slice of every item."""

    made: ShardedArtifact
    name: str = Field(description="a slice's path in each item; {} stands for the number of the shard that it is for")

    def of(self, shard: int) -> ShardedArtifact:
        """Return a shard's slices. Raises KeyError when an item has none for it."""
        return self.made.part(self.name.format(shard))


def expand_shards(given: Mapping[str, StageInput | ShardedArtifact]) -> dict[str, StageInput]:
    """Return inputs by name, each shard under a name of its own: `documents[3]`."""
    found: dict[str, StageInput] = {}
    for name, value in given.items():
        found |= {f"{name}[{i}]": item for i, item in enumerate(value.items)} if isinstance(value, ShardedArtifact) else {name: value}
    return found


def without_shard(name: str) -> str:
    """Strip the shard number from a position or an input's name: `documents[3]` -> `documents`."""
    return re.sub(r"\[\d+\]$", "", name)


def content_digest(files: Iterable[File]) -> str:
    """Hash names and contents, in name order, without the logs."""
    listing = sorted([f.path, f.sha256] for f in files if not f.path.startswith(LOGS))
    return hashlib.sha256(json.dumps(listing, separators=(",", ":")).encode()).hexdigest()


def combined_digest(digests: Iterable[str]) -> str:
    """Hash the digests of several shards, in their order."""
    return hashlib.sha256(json.dumps(list(digests), separators=(",", ":")).encode()).hexdigest()


def list_files(directory: Path) -> tuple[File, ...]:
    """List every file below a directory, in name order, with size and digest. Raises OSError for a file that can't be read."""
    paths = sorted(p for p in directory.rglob("*") if p.is_file() and p.name != RECORD)
    digests = hash_files(paths)
    if unread := [f"{path}: {digest}" for path, digest in digests.items() if digest.startswith(UNREADABLE)]:
        raise OSError("; ".join(unread))
    return tuple(File(path=p.relative_to(directory).as_posix(), size=p.stat().st_size, sha256=digests[p]) for p in paths)
