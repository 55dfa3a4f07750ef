"""What two runs executed and read differently, from the traces of their artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.stage.identity.tracing.trace import Change, Trace, differences
from tasks.stage.store.artifact import Artifact, without_shard
from tasks.stage.store.store import Store
from tasks.stage.store.traces import read_trace


@dataclass(frozen=True)
class CodeChanges:
    """Changes with the positions they affect. `unknown`: positions where a trace is missing, or was not recorded at that time."""

    code: Mapping[Change, tuple[str, ...]]
    libraries: Mapping[Change, tuple[str, ...]]
    unknown: tuple[str, ...]


def code_changes(store: Store, first: Mapping[str, Artifact], second: Mapping[str, Artifact]) -> CodeChanges:
    """Compare what the executions that made two runs' artifacts have read, at the positions that both have."""
    affected: dict[Change, dict[str, None]] = {}
    unknown: dict[str, None] = {}
    known: dict[str, Trace | None] = {}

    def trace(artifact: Artifact) -> Trace | None:
        if artifact.trace not in known:
            content = read_trace(store, artifact.trace) if artifact.trace else None
            known[artifact.trace] = None if content is None else Trace.read(content)
        return known[artifact.trace]

    for position in (position for position in first if position in second):
        if first[position].address == second[position].address:
            continue
        before, after = trace(first[position]), trace(second[position])
        if before is None or after is None:
            unknown[without_shard(position)] = None
        elif before != after:
            for change in differences(before, after):
                affected.setdefault(change, {})[without_shard(position)] = None
    libraries = {change: tuple(at) for change, at in affected.items() if change.kind in ("library", "python")}
    return CodeChanges({change: tuple(at) for change, at in affected.items() if change not in libraries}, libraries, tuple(unknown))
