"""The page: one HTML file without scripts and without anything to load, in light and dark mode, for screens of any width. Sections fold.

The template engine escapes every text, such as titles of books and answers of models. The stages say what is shown of them
(`hook`); a topic that has nothing to show is left out and named at the end of the page. Costs about a second for charts that are not in
the cache of pages.

The reports in folio's home: one page per run, each recipe's newest under a stable name, and a list of all runs.

    reports/all-runs.html        every run, newest first: how it ended, what had changed, its headline figures
    reports/universe.html        the newest page of a recipe
    reports/universe/<run>.html  the page of a run, and beside it a small <run>.json from which the list is written

No recipe can be called `all-runs`. The list is written again from the small files each time, under a lock, in about 0.1 ms a run.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup, escape
from pydantic import BaseModel, Field, ValidationError

from tasks.reporting.gates import GATES
from tasks.reporting.headline import headline
from tasks.reporting.hook import Topic, all_topics, report_hook
from tasks.reporting.stages import LINEAGE, STAGE_TABLE
from tasks.reporting.summary import RunSummary
from tasks.reporting.svg import breakable
from tasks.reporting.wording import joined, seconds
from tasks.stage.system.atomic_files import keep, kept, write_atomically
from tasks.stage.system.locks import local_lock
from tasks.stage.system.progress import log

HERE = Path(__file__).parent
COMPILED = HERE / "__pycache__"
UNFOLDED = 3  # sections that are open when the page is; the others show their headings


def render(run: RunSummary) -> str:
    """Return the page as HTML; the gates come first if one stopped the run.

    Raises FileNotFoundError naming the artifact if one of its files is missing.
    """
    head = headline(run)
    shown = _positions(run)
    topics = sorted(shown, key=lambda topic: head.state == "failed" and topic != GATES)
    sections = {topic: topic.draw(run, positions) if (positions := shown[topic]) else None for topic in topics}
    missing = [topic.name for topic, section in sections.items() if section is None]
    templates = environment()
    templates.filters |= {"with_code": _with_code, "breakable": breakable}
    return templates.get_template("page.html.jinja").render(
        head=head,
        sections=[section for section in sections.values() if section is not None],
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        unfolded=UNFOLDED,
        missing=joined(missing) if missing else "",
        commit=run.commit,
        dirty=run.dirty,
    )


def environment() -> Environment:
    """Return the environment of the templates beside this module.

    Compiling one takes longer than rendering it, so what it was compiled to is kept where Python keeps the modules', if it does.
    """
    return Environment(
        loader=FileSystemLoader(HERE),
        bytecode_cache=CompiledTemplates() if _keeps() else None,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


class CompiledTemplates(BytecodeCache):
    """Keeps each compiled template in a file with a checksum, so a damaged one is compiled again."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill a bucket with what was kept for it."""
        if (content := kept(_file(bucket))) is not None:
            bucket.bytecode_from_string(content)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what a bucket holds."""
        keep(_file(bucket), bucket.bytecode_to_string())


def _file(bucket: Bucket) -> Path:
    # Jinja looks at a template's content, but not at the options that it was compiled with; they stand in this file.
    options = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    return COMPILED / f"{bucket.key}.{options}.jinja"


def _keeps() -> bool:
    return not sys.dont_write_bytecode and os.access(COMPILED, os.W_OK)


def _with_code(text: str) -> Markup:
    """Return a text, escaped, with the parts in backticks set as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _positions(run: RunSummary) -> dict[Topic, dict[str, str]]:
    """Return each topic of the page with the positions to show under it and their titles, topics and positions in order."""
    artifacts = run.results.artifacts
    shown: dict[Topic, dict[str, str]] = {topic: {} for topic in all_topics()}
    for position, artifact in artifacts.items():
        reported = report_hook(artifact.stage)
        for topic in reported.topics:
            shown[topic][position] = reported.title_at(position, artifact)
    every = dict.fromkeys([*run.causes, *artifacts], "")
    return shown | {LINEAGE: every, STAGE_TABLE: every}


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
