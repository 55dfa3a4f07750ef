"""Opening and closing a run: store, tracker, and what is said of the run as a whole.

Guarantees: a run that ends by an error is closed as failed in MLflow, and the error goes on; while planning, nothing is opened for
writing and nothing is recorded. Code is fingerprinted when the run opens, so an edit made meanwhile enters no key.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.stage.cost import git_state
from tasks.stage.fingerprint import freeze
from tasks.stage.resources import Resources
from tasks.stage.run import DECLARED, Run, current_options, entered
from tasks.stage.store import Store
from tasks.stage.tracking import Tracker, flat_parameters


def resolve(url: str, root: Path) -> str:
    """A store or database given by a path is taken from the recipe's root; a URL stands as it is."""
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        return f"sqlite:///{(root / url.removeprefix('sqlite:///')).resolve()}"
    return url if "://" in url else str((root / url).resolve())


def open_store(url: str, root: Path, home: Path) -> Store:
    """The store at a URL, or at a path taken from `root`; what comes from afar is kept in `home`."""
    return Store(resolve(url, root), home / "cache" / "artifacts")


@contextmanager
def open_run(
    *, name: str, root: Path, home: Path, store: str, tracking: str, resources: Resources, parameters: Mapping[str, object]
) -> Iterator[Run]:
    """Make a run current for the block; `parameters` is the whole recipe as plain data, for MLflow."""
    logging.getLogger("folio").setLevel(logging.INFO)
    options = current_options()
    freeze(DECLARED, home / "cache" / "fingerprints")
    opened = open_store(store, root, home)
    tracker = None
    if not options.planning and tracking:
        tracker = Tracker(resolve(tracking, root), name, home, opened.url)
        commit, dirty = git_state()
        tags = {"mlflow.source.git.commit": commit, "folio.git_dirty": str(dirty), "folio.recipe": name}
        tracker.start(name, flat_parameters(parameters), tags)
    run = Run(name, root, home, opened, resources, options, tracker)
    try:
        with entered(run):
            yield run
    except BaseException:
        if tracker is not None:
            tracker.finish(failed=True, tags=_account(run), artifacts=run.artifacts)
        raise
    if tracker is not None:
        tracker.finish(failed=False, tags=_account(run), artifacts=run.artifacts)


def _account(run: Run) -> dict[str, str]:
    return {"folio.reused": ", ".join(sorted(run.reused)), "folio.executed": ", ".join(sorted(set(run.artifacts) - run.reused))}
