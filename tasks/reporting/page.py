"""The page: one HTML file without scripts and without anything to load, in light and dark mode, for screens of any width.

The template engine escapes every text, such as titles of books and answers of models. The stages say what is shown of them
(`hook`); a topic that has nothing to show is left out and named at the end of the page. Costs about a second for charts that are not in
the cache of pages.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

from tasks.reporting.gates import GATES
from tasks.reporting.headline import headline
from tasks.reporting.hook import Topic, all_topics, report_hook
from tasks.reporting.stages import LINEAGE, STAGE_TABLE
from tasks.reporting.summary import RunSummary
from tasks.reporting.wording import joined
from tasks.stage.identity.tracing.cached_file import keep, kept

HERE = Path(__file__).parent
COMPILED = HERE / "__pycache__"


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
    templates.filters["with_code"] = _with_code
    return templates.get_template("page.html.jinja").render(
        head=head,
        sections=[section for section in sections.values() if section is not None],
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
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
