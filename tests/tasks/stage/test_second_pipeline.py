"""The stage machinery serves any pipeline: a word count in a folder of its own, which knows no language model, has all that folio has."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.identity.tracing.source import LIBRARY_ROOT, Source
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Store

COUNTING = """
import re

def words(text):
    return re.findall(r"[a-z]+", text.lower())
"""
STAGES = """
import json, time
from collections import Counter
from pydantic import BaseModel
from tasks.stage.stage import stage

class Nothing(BaseModel, frozen=True):
    pass

class Most(BaseModel, frozen=True):
    common: int = 2

def texts(config, root, shard, digest_of):
    path = root / f"text-{shard.number}.txt"
    return {path.name: digest_of([path])[path]}

@stage(observes=texts)
def count(config: Nothing, work):
    from counting import words

    found = Counter(words((work.root / f"text-{work.shard.number}.txt").read_text()))
    (work.output / "counts.json").write_text(json.dumps(found))
    return {"words": found.total()}

@stage()
def total(config: Most, work, counts):
    found = sum((Counter(json.loads((path / "counts.json").read_text())) for path in counts), Counter())
    (work.output / "half.json").write_text("{")
    while (work.root / "hold").exists():
        time.sleep(0.1)
    (work.output / "half.json").rename(work.output / "total.json").write_text(json.dumps(found.most_common(config.common)))
    return {"words": found.total()}
"""
PIPELINE = """
import json, sys
from pathlib import Path
from prefect import flow
from stages import Most, Nothing, count, total
from tasks.stage.execution.resources import Resources
from tasks.stage.execution.run import RunOptions, use_options
from tasks.stage.execution.run_context import open_run
from tasks.stage.identity.tracing.source import Project

PROJECT = Project(Path(__file__).parent, packages=("counting", "stages"))

@flow(name="wordcount")
def wordcount(planning):
    root = PROJECT.root.parent
    settings = {"root": root, "home": root / "home", "store": "store", "tracking": "", "resources": Resources(), "parameters": {}}
    with use_options(RunOptions(planning=planning)), open_run(project=PROJECT, name="wordcount", **settings) as run:
        total(Most(), counts=count.over(2)(Nothing()))
    (root / "decisions.json").write_text(json.dumps([decision.row() for decision in run.decisions]))

if sys.argv[1] == "plan":
    wordcount.fn(True)
else:
    wordcount(False)
"""
DECLARED = """
import json
import re
from collections import Counter

def words(text):
    return re.findall(r"[a-z]+", text.lower())

def count(root, output, shard):
    found = Counter(words((root / f"text-{shard.number}.txt").read_text()))
    (output / "counts.json").write_text(json.dumps(found))
    return {"words": found.total()}

def count_letters(root, output, shard):
    found = Counter((root / f"text-{shard.number}.txt").read_text())
    (output / "counts.json").write_text(json.dumps(found))
    return {"letters": found.total()}
"""
REUSED = {"count[0]": "reuse", "count[1]": "reuse", "total": "reuse"}


class WordCount:
    """The pipeline in a folder outside this repository, run by its own program."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.project = folder, folder / "project"
        self.project.mkdir()
        for name, text in {"counting": COUNTING, "stages": STAGES, "pipeline": PIPELINE}.items():
            (self.project / f"{name}.py").write_text(text)
        for number, text in enumerate(["The cat and the dog", "A dog, a cat, a cat"]):
            (folder / f"text-{number}.txt").write_text(text)

    def start(self, command: str) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(self.project), str(LIBRARY_ROOT)])
        return subprocess.Popen([sys.executable, "pipeline.py", command], cwd=self.project, env={**os.environ, "PYTHONPATH": path})

    def decided(self, command: str) -> dict[str, str]:
        """Plan or run, and return what was decided, by position."""
        assert self.start(command).wait(120) == 0
        rows: list[dict[str, Any]] = json.loads((self.folder / "decisions.json").read_text())
        return {row["stage"]: row["action"] for row in rows}

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.project / f"{name}.py"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    @property
    def store(self) -> Store:
        return Store(str(self.folder / "store"), self.folder / "cache")

    def artifacts(self, stage: str) -> list[Artifact]:
        return [record for record in self.store.records(stage) if isinstance(record, Artifact)]

    @property
    def totals(self) -> list[Any]:
        """What the newest `total` holds."""
        newest = max(self.artifacts("total"), key=lambda artifact: artifact.origin.created)
        found: list[Any] = json.loads((self.folder / "store" / newest.location / "total.json").read_text())
        return found


@pytest.fixture
def pipeline(tmp_path: Path, prefect: None) -> WordCount:
    return WordCount(tmp_path)


def test_an_edit_reruns_what_it_touched_and_a_plan_says_so_before(pipeline: WordCount) -> None:
    assert pipeline.decided("plan") == {"count[0]": "run", "count[1]": "run", "total": "run"}
    assert not pipeline.artifacts("count"), "a plan makes nothing"
    pipeline.decided("run")
    assert pipeline.totals == [["cat", 3], ["a", 3]]
    assert pipeline.decided("plan") == REUSED

    pipeline.edit("counting", "import re", "import re  # a comment")
    assert pipeline.decided("plan") == REUSED
    (pipeline.folder / "text-1.txt").write_text("A dog")
    assert pipeline.decided("plan") == {"count[0]": "reuse", "count[1]": "run", "total": "wait"}
    pipeline.edit("counting", "[a-z]+", "[a-z]{2,}")
    assert pipeline.decided("plan") == {"count[0]": "run", "count[1]": "run", "total": "wait"}
    pipeline.decided("run")
    assert pipeline.totals == [["the", 2], ["dog", 2]]
    pipeline.edit("stages", "found.most_common(config.common)", "sorted(found)")
    assert pipeline.decided("plan") == {**REUSED, "total": "run"}


def test_a_killed_run_leaves_no_half_artifact_and_the_next_one_makes_only_what_is_missing(pipeline: WordCount) -> None:
    (pipeline.folder / "hold").touch()
    running = pipeline.start("run")
    deadline = time.monotonic() + 120
    while not list((pipeline.folder / "store").glob(".staging/total-*/*/output/half.json")):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    running.send_signal(signal.SIGKILL)
    running.wait()
    (pipeline.folder / "hold").unlink()
    assert not pipeline.artifacts("total")
    assert pipeline.decided("run") == {**REUSED, "total": "run"}
    assert pipeline.totals == [["cat", 3], ["a", 3]]
    assert not [path for path in (pipeline.folder / "store").rglob("half.json")]


def test_each_record_says_what_it_was_made_from_and_which_code_made_it(pipeline: WordCount) -> None:
    pipeline.decided("run")
    (made,) = pipeline.artifacts("total")
    shards = {artifact.location: artifact for artifact in pipeline.artifacts("count")}
    assert {(given.location, given.digest) for given in made.inputs.values()} == {(s.location, s.digest) for s in shards.values()}
    assert len(shards) == 2
    checker = TraceChecker(pipeline.store, Source.of(pipeline.project), None)
    traces = [trace for artifact in (*shards.values(), made) if (trace := checker.recorded(artifact)) is not None]
    ran = [{entry for entry in trace.entries if entry.startswith("ran ")} for trace in traces]
    assert ran == [{"ran counting.py:words", "ran stages.py:count"}] * 2 + [{"ran stages.py:total"}]


def test_a_body_that_is_named_runs_without_the_stage_s_file_and_reruns_with_its_own_code_or_another_name(pipeline: WordCount) -> None:
    (pipeline.project / "counting.py").write_text(DECLARED)
    begin = STAGES.index("@stage(observes=texts)")
    pipeline.edit(
        "stages",
        STAGES[begin : STAGES.index("@stage()")],
        """@stage("counting:count", observes=texts)
def count(config: Nothing): ...

""",
    )
    pipeline.decided("run")
    assert pipeline.totals == [["cat", 3], ["a", 3]]
    checker = TraceChecker(pipeline.store, Source.of(pipeline.project), None)
    for made in pipeline.artifacts("count"):
        assert (trace := checker.recorded(made)) is not None
        assert {entry for entry in trace.entries if entry.startswith("ran ")} == {"ran counting.py:words", "ran counting.py:count"}
        assert not [entry for entry in trace.entries if "stages.py" in entry and "count" in entry], "its config's class alone counts"
    pipeline.edit("counting", "Counter((root", "Counter(str(root")
    assert pipeline.decided("plan") == REUSED, "no execution ran count_letters"
    pipeline.edit("counting", "Counter(str(root", "Counter((root")
    pipeline.edit("counting", "[a-z]+", "[a-z]{2,}")
    assert pipeline.decided("plan") == {"count[0]": "run", "count[1]": "run", "total": "wait"}
    pipeline.edit("counting", "[a-z]{2,}", "[a-z]+")
    pipeline.edit("stages", "counting:count", "counting:count_letters")
    assert pipeline.decided("plan") == {"count[0]": "run", "count[1]": "run", "total": "wait"}


# Paths and modules of folio's own rooms, the rooms by name, and what folio makes.
OWN_WORD = re.compile(
    r"(?<![\w.])(flows|data|model)[./]\w|\btasks[./](?!stage\b)\w|^(flows|data)$|language model|\bcorpus\b|\btokeni[sz]er"
)


def words_of(path: Path) -> Iterator[str]:
    """The strings of a file, its docstrings among them, and the modules that it imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.ImportFrom):
            yield f"{node.module}.{node.names[0].name}"
        elif isinstance(node, ast.Import):
            yield from (f"{alias.name}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted((LIBRARY_ROOT / "tasks" / "stage").rglob("*.py")), ids=lambda path: path.stem)
def test_the_machinery_says_no_word_of_what_folio_makes_with_it(path: Path) -> None:
    assert not [word for word in words_of(path) if OWN_WORD.search(word)]
