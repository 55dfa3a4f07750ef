"""An execution of a stage, past or planned, described by the sizes that decide how long it takes.

Both have a config, inputs with their sizes, and the sizes of the files that were or will be written. So planned executions
compare with measured ones. Imports nothing heavy, since stages import it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.stage.store.artifact import Artifact

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tasks.stage.store.store import Store


@dataclass(frozen=True)
class Source:
    """An input: the execution that makes it (None if unknown), and the part of its files that is read."""

    execution: Execution | None
    part: str = ""

    @property
    def size(self) -> float | None:
        """Bytes of the files that are read; None if not known."""
        return None if self.execution is None else self.execution.written(self.part)


@dataclass(frozen=True)
class Execution:
    """One execution. `config`: as records hold it; `files`: bytes by path, None if not known.

    `record`: the artifact that it made, None if it is only planned. What is planned has its whole config in `settings`, whose paths start
    at `root`.
    """

    stage: str
    config: Mapping[str, Any]
    sources: Mapping[str, Source] = field(default_factory=dict)
    files: Mapping[str, float] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    settings: BaseModel | None = None
    root: Path | None = None
    record: Artifact | None = None

    def written(self, part: str = "") -> float | None:
        """Return the bytes of the files at or below `part`; None if not known."""
        if self.files is None:
            return None
        below = f"{part.rstrip('/')}/"
        return sum(size for path, size in self.files.items() if not part or path == part or path.startswith(below))

    def read(self, *names: str) -> float | None:
        """Return the bytes of the inputs with these names, or of all, shards added up; None if one is not known."""
        sizes = [source.size for name, source in self.sources.items() if not names or name.partition("[")[0] in names]
        return None if any(size is None for size in sizes) else sum(size for size in sizes if size is not None)

    def lineage(self) -> Iterator[Execution]:
        """Yield this execution and those that it descends from, nearest first, each once."""
        queue, seen = [self], set[int]()
        while queue:
            current = queue.pop(0)
            if id(current) not in seen:
                seen.add(id(current))
                yield current
                queue += [source.execution for source in current.sources.values() if source.execution is not None]

    def inherited(self, key: str) -> Any:
        """Return the value of a config's key in the nearest execution of the lineage that has it; None without one."""
        return next((one.config[key] for one in self.lineage() if key in one.config), None)

    def nearest_metric(self, name: str) -> float | None:
        """Return a metric of the nearest execution of the lineage that has it; None without one."""
        return next((one.metrics[name] for one in self.lineage() if name in one.metrics), None)


class History:
    """The executions recorded in a store, each read once, on demand."""

    MOST = 40  # of one stage; more would say little more and take longer to read

    def __init__(self, store: Store) -> None:
        self.store = store
        self._by_location: dict[str, Execution | None] = {}

    def newest(self, stage: str) -> list[Execution]:
        """Return the newest executions of a stage, of any recipe, newest first."""
        found = self.store.index.recent(stage, self.MOST)
        return [self.of(record) for record in sorted(found, key=lambda record: record.origin.created, reverse=True)]

    def of(self, record: Artifact) -> Execution:
        """Return the execution that made an artifact, with its lineage as far as the store has it."""
        known = self._by_location.get(record.location)
        if known is not None:
            return known
        made = Execution(
            record.stage,
            record.config,
            {name: Source(self._at(given.location), given.part) for name, given in record.inputs.items()},
            {file.path: float(file.size) for file in record.files},
            record.metrics,
            record=record,
        )
        self._by_location[record.location] = made
        return made

    def _at(self, location: str) -> Execution | None:
        if location not in self._by_location:
            found = self.store.index.read(location)
            self._by_location[location] = self.of(found) if isinstance(found, Artifact) else None
        return self._by_location[location]
