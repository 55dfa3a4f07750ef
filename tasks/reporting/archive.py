"""The reports in folio's home: one page per run, each recipe's newest under a stable name, and a list of all runs.

    reports/all-runs.html        every run, newest first: how it ended, what had changed, its headline figures
    reports/universe.html        the newest page of a recipe
    reports/universe/<run>.html  the page of a run, and beside it a small <run>.json from which the list is written

No recipe can be called `all-runs`. The list is written again from the small files each time, under a lock, in about 0.1 ms a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup
from pydantic import BaseModel, Field, ValidationError

from tasks.reporting.headline import headline
from tasks.reporting.page import HERE, environment, render
from tasks.reporting.summary import RunSummary
from tasks.reporting.wording import seconds
from tasks.stage.system.atomic_files import write_atomically
from tasks.stage.system.locks import local_lock
from tasks.stage.system.progress import log

LIST = "all-runs.html"
LATEST = 500


class RunEntry(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A line of the list."""

    id: str = Field(description="of the run")
    recipe: str = Field(description="name of the recipe")
    started: str = Field(description="UTC time, ISO 8601")
    took: str = Field(description="how long it ran, in words")
    state: str = Field(description="passed, overruled, failed, unjudged or stopped")
    verdict: str = Field(description="the state in words")
    changed: tuple[str, ...] = Field(description="what made stages run; empty when all was reused")
    figures: tuple[tuple[str, str], ...] = Field(description="headline figures as label and value")
    failure: str = Field("", description="why it failed; empty if it did not")
    page: bool = Field(True, description="whether it has a page")

    @property
    def when(self) -> str:
        """When it started, to the minute."""
        return self.started[:16].replace("T", " ")

    @classmethod
    def of(cls, run: RunSummary, *, page: bool) -> RunEntry:
        """Return a run's line in the list; a stopped run has neither page nor verdict."""
        head = headline(run)
        return cls(
            id=run.id,
            recipe=run.name,
            started=run.started.isoformat(),
            took=seconds(run.seconds),
            state=head.state if page else "stopped",
            verdict=head.verdict if page else "stopped",
            changed=run.changed,
            figures=tuple((figure.label, figure.value) for figure in head.figures[:-1]),
            failure=run.failure.partition("\n")[0],
            page=page,
        )


def write_page(home: Path, run: RunSummary) -> Path:
    """Write the page of a run and list it; return the path of its recipe's newest page.

    Raises FileNotFoundError naming the artifact if one of its files is missing; nothing is written then.
    """
    content, newest = render(run).encode(), home / "reports" / f"{run.name}.html"
    own = newest.with_suffix("") / f"{run.id}.html"
    own.parent.mkdir(parents=True, exist_ok=True)
    for path in (own, newest):
        write_atomically(path, content)
    _list(home, RunEntry.of(run, page=True))
    return newest


def list_stopped(home: Path, run: RunSummary) -> None:
    """List a run that was stopped, which has no page."""
    (home / "reports" / run.name).mkdir(parents=True, exist_ok=True)
    _list(home, RunEntry.of(run, page=False))


def _list(home: Path, entry: RunEntry) -> None:
    folder = home / "reports"
    write_atomically(folder / entry.recipe / f"{entry.id}.json", entry.model_dump_json(indent=1).encode())
    lock = folder / ".list.lock"
    lock.touch()
    with local_lock(lock, lambda: None):
        write_atomically(folder / LIST, render_list(entries(folder)).encode())


def entries(folder: Path) -> list[RunEntry]:
    """Return the newest runs listed in a folder of reports, newest first; a file that can't be read is named in the log and left out."""
    names = sorted(folder.glob("*/*.json"), key=lambda path: path.stem, reverse=True)
    return list(_read(names[:LATEST]))


def _read(paths: list[Path]) -> Iterator[RunEntry]:
    for path in paths:
        try:
            yield RunEntry.model_validate_json(path.read_bytes())
        except (ValidationError, OSError) as error:
            log(f"{path} can't be read ({type(error).__name__}), so its run is not in {LIST}")


def render_list(runs: list[RunEntry]) -> str:
    """Return the list as HTML; every text is escaped."""
    style = Markup((HERE / "page.css").read_text(encoding="utf-8"))
    return environment().get_template("all_runs.html.jinja").render(runs=runs, style=style, latest=LATEST)
