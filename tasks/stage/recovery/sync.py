"""Bring MLflow and Prefect up to date with a store's journal, oldest run first.

What they already have is left alone, so a second call does nothing. Live runs are left to their followers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.stage.recovery.dead_runs import close_dead_run
from tasks.stage.recovery.servers import Servers
from tasks.stage.recovery.settlement import settlement
from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.tracking.export import Told


@dataclass(frozen=True)
class Synced:
    """A run that some server had yet to be told of. `problems`: why it could not be, by the server's name."""

    run: RunRecord
    problems: dict[str, str]


def synchronize(journal: Journal, servers: Servers) -> Iterator[Synced]:
    """Bring the servers up to date, run by run. Raises MLflow's error if its database can't be read."""
    told = Told(servers.mlflow, servers.home) if servers.mlflow else None
    for record in reversed(journal.records()):
        if journal.alive(record):
            continue
        if record.status == "running":
            record = close_dead_run(journal, record)
        owed = {url for url in servers.of(record) if journal.owes(record.id, url)}
        if told is not None and record.configuration.get("tracking") != "none" and not told.knows(record):
            owed.add(servers.mlflow)
        if owed:
            journal.owe(record.id, owed)
            with settlement(journal, servers, record.id, wait=True) as run:  # a follower may be telling them right now
                yield Synced(record, run.close())
