"""Execution code can't change bytes: whatever numbers it returns, every artifact of a run is the same."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.identity.bench import ROOT, Change, Site, build, forking, last_run, unchanged

# Put at the end of a file, this has its functions and methods return other measures: numbers that no code of ours counts things by.
OTHER_MEASURES = """

def _with_other_measures(names):
    import functools, inspect

    def other(value):
        if isinstance(value, float) or (isinstance(value, int) and abs(value) >= 1000):
            return type(value)(value * 1.37)
        if type(value) in (list, tuple):
            return type(value)(map(other, value))
        return {name: other(one) for name, one in value.items()} if type(value) is dict else value

    def wrapped(function):
        @functools.wraps(function)
        def call(*arguments, **named):
            return other(function(*arguments, **named))
        return call

    def counts(value):
        return inspect.isfunction(value) and not inspect.isgeneratorfunction(value) and not hasattr(value, "__wrapped__")

    for name, value in list(globals().items()):
        if getattr(value, "__module__", "") != __name__ or (names and name not in names):
            continue
        if counts(value):
            globals()[name] = wrapped(value)
        elif isinstance(value, type):
            for method, function in list(vars(value).items()):
                if counts(function) and not method.startswith("__"):
                    setattr(value, method, wrapped(function))


_with_other_measures(NAMES)
"""
# Programs' places and exit codes must be right for a run to end; a micro-batch changes rounding, which is recorded.
KEPT = ("tasks/stage/", "model/training/micro_batch.py", "model/training/launch/")


def listed() -> dict[Path, set[str]]:
    """The files of the table below the model and the forecast, with the names in them; none if all of a file is execution code."""
    from tasks.project import EXECUTION

    found: dict[Path, set[str]] = {}
    for entry in EXECUTION:
        path, _, name = entry.partition(":")
        if not path.startswith(KEPT) or name == "_follow":
            files = sorted((ROOT / path).rglob("*.py")) if path.endswith("/") else [ROOT / path]
            for file in files:
                found.setdefault(file.relative_to(ROOT), set()).update([name] if name else [])
    return found


def return_other_measures(site: Site) -> None:
    """Edit the code of a site so that its execution code returns other numbers."""
    for path, names in listed().items():
        with (site.rooms / path).open("a") as file:
            file.write(OTHER_MEASURES.replace("NAMES", repr(names)))


def digests(folder: Path, prefect: str, change: Change) -> dict[str, str]:
    """The digest of what each position of a fresh run made."""
    assert not build(folder, prefect, change=change).failed
    _, record = last_run(Site(folder, prefect))
    return {position: had.digest for position, had in record.positions.items()}


@pytest.mark.slow
def test_every_artifact_is_the_same_whatever_execution_code_returns(prefect: None, tmp_path: Path) -> None:
    from prefect.settings import PREFECT_API_URL

    url = str(PREFECT_API_URL.value())
    with ProcessPoolExecutor(2, mp_context=forking(), max_tasks_per_child=1) as pool:
        plain = pool.submit(digests, tmp_path / "plain", url, unchanged)
        other = pool.submit(digests, tmp_path / "other", url, return_other_measures)
        assert len(plain.result()) > 30
        assert other.result() == plain.result()
